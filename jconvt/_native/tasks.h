// A number of tasks that several threads share. It knows nothing of where the threads come from.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

namespace jconvt {

// Threads take the next task from a counter until none is left. Whoever comes late finds no task and leaves, perhaps
// after the call that made the tasks has returned: so threads own the object together, by std::shared_ptr.
class Tasks {
 public:
  Tasks(int64_t count, void (*run)(void *context, int64_t task, int thread), void *context)
      : count_(count), run_(run), context_(context) {}

  // Runs tasks until all have been taken.
  void take(int thread) {
    int64_t task;
    while ((task = next_.fetch_add(1, std::memory_order_relaxed)) < count_) {
      try {
        run_(context_, task, thread);
      } catch (...) {  // there is no memory left: this thread may not be the one that can report it
        failed_.store(true, std::memory_order_relaxed);
      }
      // Releases what the task wrote to the thread that waits for it.
      if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) done_.notify_one();
    }
  }

  // Waits for all tasks. Call it after take(): then each task has been taken by a thread that is running it, so this
  // thread never waits for one that has not been started, and a pool whose threads all wait here cannot deadlock.
  // Returns whether all have succeeded.
  bool wait() const {
    for (int64_t done; (done = done_.load(std::memory_order_acquire)) < count_;) done_.wait(done);
    return !failed_.load(std::memory_order_relaxed);
  }

 private:
  const int64_t count_;
  void (*const run_)(void *context, int64_t task, int thread);
  void *const context_;
  // Apart from each other, since every thread writes both.
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int64_t> done_{0};
  std::atomic<bool> failed_{false};
};

// Runs all tasks on this thread, which is thread 0, and on up to threads - 1 others. `schedule` gets a function for
// each of those, to be called at any time, or never. Returns whether all tasks have succeeded. One that throws fails.
template <class Schedule>
bool run_tasks(int64_t count, void (*run)(void *context, int64_t task, int thread), void *context, int threads,
               const Schedule &schedule) {
  if (threads <= 1 || count <= 1) {
    Tasks tasks(count, run, context);
    tasks.take(0);
    return tasks.wait();
  }
  const auto tasks = std::make_shared<Tasks>(count, run, context);
  for (int thread = 1; thread < threads && thread < count; ++thread) schedule([tasks, thread] { tasks->take(thread); });
  tasks->take(0);
  return tasks->wait();
}

}  // namespace jconvt
