// The threads and the scratch memory that a call may use.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace jconvt {

class Pool {
 public:
  // The number of threads that may run tasks at once, the calling one included: at least 1.
  virtual int threads() const = 0;
  // Calls run(context, task, thread) for each task below `tasks`, with `thread` below threads(), and returns when all
  // have returned. Two tasks that run at the same time have different threads.
  virtual void run(int64_t tasks, void (*run)(void *context, int64_t task, int thread), void *context) = 0;
  // Memory aligned to 64 bytes that lives until the call ends. Throws std::bad_alloc where there is none left.
  virtual void *scratch(size_t bytes) = 0;

 protected:
  ~Pool() = default;
};

// Calls a member function of `self` for each task, with the number of the task and the thread.
template <auto member, class Self> void run_tasks(Pool &pool, int64_t tasks, Self *self) {
  pool.run(
      tasks, [](void *self, int64_t task, int thread) { (static_cast<Self *>(self)->*member)(task, thread); },
      const_cast<std::remove_const_t<Self> *>(self));
}

}  // namespace jconvt
