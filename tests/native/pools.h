// Pools that a kernel may get: one thread, several, one that runs tasks in a random order, and one that runs none, as
// where only the scratch memory is counted.
#pragma once
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "numbers.h"
#include "pool.h"

namespace check {

enum class Order { kInline, kThreads, kRandom, kIdle };

class TestPool final : public jconvt::Pool {
 public:
  // The scratch call of that number, from 0, gets no memory; -1: each gets some.
  TestPool(Order order, int threads, uint64_t seed, int failing)
      : order_(order), threads_(order == Order::kInline ? 1 : threads), random_(seed), failed_(failing) {}

  int threads() const override { return threads_; }

  void run(int64_t tasks, void (*task)(void *, int64_t, int), void *context) override {
    if (running_.exchange(true)) fault_ = "a task calls run()";
    if (order_ == Order::kIdle) tasks = 0;
    if (tasks < 0) fault_ = "run() gets a negative number of tasks";
    std::vector<int64_t> order(std::max<int64_t>(tasks, 0));
    std::iota(order.begin(), order.end(), 0);
    if (order_ == Order::kRandom)
      for (int64_t i = tasks - 1; i > 0; --i) std::swap(order[i], order[random_.between(0, i)]);
    if (order_ == Order::kThreads) {
      std::atomic<int64_t> next = 0;
      const auto work = [&](int thread) {
        for (int64_t i; (i = next++) < tasks;) task(context, i, thread);
      };
      std::vector<std::thread> others;
      for (int thread = 1; thread < std::min<int64_t>(threads_, tasks); ++thread) others.emplace_back(work, thread);
      work(0);
      for (auto &other : others) other.join();
    } else {
      for (const int64_t i : order) task(context, i, static_cast<int>(random_.between(0, threads_ - 1)));
    }
    running_ = false;
  }

  void *scratch(size_t bytes) override {
    if (running_) fault_ = "a task calls scratch()";
    if (static_cast<int>(blocks_.size()) == failed_) {
      was_empty = true;
      throw std::bad_alloc();
    }
    blocks_.emplace_back(static_cast<std::byte *>(::operator new(bytes, std::align_val_t{64})));
    sizes_.push_back(bytes);
    std::memset(blocks_.back().get(), 0xFF, bytes);  // NaN in every format
    scratch_bytes += (bytes + 63) / 64 * 64;
    return blocks_.back().get();
  }

  bool is_untouched() const {
    for (size_t i = 0; i < blocks_.size(); ++i)
      for (size_t at = 0; at < sizes_[i]; ++at)
        if (blocks_[i][at] != std::byte{0xFF}) return false;
    return true;
  }

  std::string fault() const { return fault_; }
  bool was_empty = false;
  size_t scratch_bytes = 0;

 private:
  struct Free {
    void operator()(std::byte *block) const { ::operator delete(block, std::align_val_t{64}); }
  };
  Order order_;
  int threads_;
  Random random_;
  int failed_;
  std::atomic<bool> running_ = false;
  std::string fault_;
  std::vector<std::unique_ptr<std::byte[], Free>> blocks_;
  std::vector<size_t> sizes_;
};

}  // namespace check
