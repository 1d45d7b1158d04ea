// The threads and the scratch memory that a call may use.
#pragma once
#include <cstddef>
#include <cstdint>

namespace jconvt {

class Pool {
 public:
  // The number of threads that may run tasks at once, the calling one included: at least 1.
  virtual int threads() const = 0;
  // Calls run(context, task, thread) for each task below `tasks`, with `thread` below threads(), and returns when all
  // have returned. Two tasks that run at the same time have different threads.
  virtual void run(int64_t tasks, void (*run)(void *context, int64_t task, int thread), void *context) = 0;
  // Memory aligned to 64 bytes that lives until the call ends, or nullptr where there is none left.
  virtual void *scratch(size_t bytes) = 0;

 protected:
  ~Pool() = default;
};

}  // namespace jconvt
