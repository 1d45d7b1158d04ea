// Holds the kernels to account without Python: random problems against the definition, for each instruction set.
//
//   check [--seed S] [--count N] [--only K] [--seconds S] [--level LEVEL|all] [--threads N] [--jobs N]
//         [--map T|F|G] [--dtype float32|float64|bfloat16|float16]
//
// Draw K of seed S is the same problem with the same numbers on every machine. The first fault ends the program with
// status 1 and a command that repeats it.
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "draws.h"
#include "histogram.h"
#include "kernels.h"
#include "pools.h"

// Present where the program is built with a sanitizer.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace check {
namespace {

struct Level {
  const char *name;
  jconvt::Compute *compute;
  bool present;
};

std::vector<Level> levels() {
  std::vector<Level> all = {{"baseline", jconvt::baseline::compute, true}};
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  all.push_back({"avx2", jconvt::avx2::compute, avx2});
  all.push_back({"avx512", jconvt::avx512::compute, avx512});
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  all.push_back({"avx512_bf16", jconvt::avx512_bf16::compute, bf16});
#endif
  return all;
}

struct Options {
  uint64_t seed = 1;
  int64_t count = 1000, only = -1;
  double seconds = 1e9;
  std::string level = "all", map, dtype;
  int threads = 4, jobs = static_cast<int>(std::thread::hardware_concurrency());
};

// Whether all of the text is a number of that type.
template <class N> bool read(const std::string &text, N &to) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  return error == std::errc() && end == text.data() + text.size();
}
bool read(const std::string &text, std::string &to) {
  to = text;
  return !text.empty();
}

Options parse(const std::vector<std::string> &arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); i += 2) {
    const std::string &name = arguments[i], value = i + 1 < arguments.size() ? arguments[i + 1] : "";
    const bool right =
        (name == "--seed" && read(value, options.seed)) || (name == "--count" && read(value, options.count)) ||
        (name == "--only" && read(value, options.only)) || (name == "--seconds" && read(value, options.seconds)) ||
        (name == "--threads" && read(value, options.threads)) || (name == "--jobs" && read(value, options.jobs)) ||
        (name == "--level" && read(value, options.level)) || (name == "--map" && read(value, options.map)) ||
        (name == "--dtype" && read(value, options.dtype));
    if (right) continue;
    std::fprintf(stderr, "cannot read %s %s: the head of check.cc lists the options\n", name.c_str(), value.c_str());
    std::exit(2);
  }
  return options;
}

// What this thread does now, for the message of a crash.
thread_local char current[512];

void report_crash() { std::fprintf(stderr, "CRASH in %s\n", current); }

void on_signal(int signal) {
  report_crash();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// Elements at the end of a block of exactly their size, so that a sanitizer sees an access past either end. One element
// of offset makes the pointer unaligned, as far as the dtype allows.
class Buffer {
 public:
  Buffer(int64_t elements, Dtype dtype, bool offset)
      : dtype_(dtype),
        elements_(elements),
        skipped_(offset ? format(dtype).bytes : 0),
        bytes_(skipped_ + elements * format(dtype).bytes) {
    block_.reset(new std::byte[bytes_]);
  }
  std::byte *data() { return block_.get() + skipped_; }
  size_t bytes() const { return bytes_ - skipped_; }
  void fill(const Doubles &values) {
    for (int64_t i = 0; i < elements_; ++i) store(values[i], data() + i * format(dtype_).bytes, dtype_);
  }
  double operator[](int64_t i) { return load(data() + i * format(dtype_).bytes, dtype_); }

 private:
  Dtype dtype_;
  int64_t elements_;
  size_t skipped_, bytes_;
  std::unique_ptr<std::byte[]> block_;
};

// The first thing in which a level differs from the definition, if anything.
class Trial {
 public:
  Trial(const Draw &d, const Options &options, Random &random)
      : d_(d),
        options_(options),
        sizes_{d.map == Map::kForward ? size_z(d.problem) : size_x(d.problem),
               d.map == Map::kKernelGradient ? size_z(d.problem) : size_w(d.problem),
               d.map == Map::kTranspose ? size_z(d.problem)
               : d.map == Map::kForward ? size_x(d.problem)
                                        : size_w(d.problem)},
        a_(sizes_[0], d.dtype, random.chance(0.3)),
        b_(sizes_[1], d.dtype, random.chance(0.3)),
        offset_(random.chance(0.3)),
        // NaN shows what was read, a number shows what was not written where NaN is a right answer.
        fill_(d.data == Data::kSpecial || random.chance(0.5) ? 0x5A : 0xFF),
        failed_(random.chance(0.05) ? static_cast<int>(random.between(0, 2)) : -1),
        threads_(static_cast<int>(random.between(2, std::max(2, 2 * options.threads)))),
        seed_(random.bits()),
        want_(sizes_[2]) {
    Doubles a(sizes_[0]), b(sizes_[1]);
    draw_operands(random, d, a, b);
    a_.fill(a);
    b_.fill(b);
    operands_.assign(a_.data(), a_.data() + a_.bytes());
    operands_.insert(operands_.end(), b_.data(), b_.data() + b_.bytes());
    define(d.map, d.problem, a, b, want_);
    if (d.data == Data::kReal) {
      for (Doubles *each : {&a, &b})
        for (double &value : *each) value = std::abs(value);
      magnitudes_.resize(sizes_[2]);
      define(d.map, d.problem, a, b, magnitudes_);
    }
  }

  std::string fault(const Level &level, Histogram &histogram) {
    Buffer first(sizes_[2], d_.dtype, offset_);
    {
      TestPool pool(Order::kInline, 1, seed_, failed_);
      std::string text = compute(level, pool, first);
      if (!text.empty() || pool.was_empty) return text;
      text = compare(first);
      if (!text.empty()) return "one thread: " + text;
      // Nothing is copied here but taps and pixels for the caches, and up to eight partial sums of small kernels.
      const size_t most = (size_t{4} << 20) + 16 * size_w(d_.problem) * format(d_.dtype).bytes;
      const bool copies = format(d_.dtype).bytes < 4;
      if (!copies && pool.scratch_bytes > most) return std::to_string(pool.scratch_bytes) + " bytes of scratch memory";
      if (multiplications(d_.problem) >= 1'000'000)
        histogram.add_scratch(d_, pool.scratch_bytes, a_.bytes() + b_.bytes() + first.bytes());
    }
    for (const Order order : {Order::kThreads, Order::kRandom}) {
      const std::string name =
          order == Order::kThreads ? std::to_string(options_.threads) + " threads: " : "random order: ";
      TestPool pool(order, order == Order::kThreads ? options_.threads : threads_, seed_, -1);
      Buffer again(sizes_[2], d_.dtype, offset_);
      std::string text = compute(level, pool, again);
      if (text.empty() && !same_bits(first, again)) {
        text = compare(again);
        if (text.empty()) text = "other bits than with one thread";
      }
      if (!text.empty()) return name + text;
    }
    return "";
  }

 private:
  std::string compute(const Level &level, TestPool &pool, Buffer &out) {
    std::memset(out.data(), fill_, out.bytes());
    bool done = true;
    try {
      level.compute(d_.map, d_.dtype, d_.problem, a_.data(), b_.data(), out.data(), pool);
    } catch (const std::bad_alloc &) {
      done = false;
    }
    if (!pool.fault().empty()) return pool.fault();
    if (done == pool.was_empty) return done ? "compute() returns without scratch memory" : "compute() throws";
    TestPool idle(Order::kIdle, pool.threads(), seed_, -1);
    level.compute(d_.map, d_.dtype, d_.problem, nullptr, nullptr, nullptr, idle);
    if (!idle.is_untouched()) return "code outside of tasks writes to scratch memory";
    const bool aligned =
        reinterpret_cast<uintptr_t>(a_.data()) % 4 == 0 && reinterpret_cast<uintptr_t>(b_.data()) % 4 == 0;
    if (done && aligned && idle.scratch_bytes != pool.scratch_bytes)
      return "the scratch memory depends on what tasks compute";
    const bool same = std::memcmp(a_.data(), operands_.data(), a_.bytes()) == 0 &&
                      std::memcmp(b_.data(), operands_.data() + a_.bytes(), b_.bytes()) == 0;
    return same ? "" : "an operand has changed";
  }

  // NaNs have many bits, and which ones an instruction returns depends on the order of its operands.
  bool same_bits(Buffer &first, Buffer &again) const {
    if (std::memcmp(first.data(), again.data(), first.bytes()) == 0) return true;
    for (int64_t i = 0; i < sizes_[2]; ++i) {
      const bool nan = std::isnan(first[i]) && std::isnan(again[i]);
      if (!nan && (first[i] != again[i] || std::signbit(first[i]) != std::signbit(again[i]))) return false;
    }
    return true;
  }

  std::string compare(Buffer &out) const {
    int64_t wrong = 0;
    std::string text;
    for (int64_t i = 0; i < sizes_[2]; ++i) {
      const double got = out[i], want = rounded(want_[i], d_.dtype);
      bool right = got == want || (std::isnan(got) && std::isnan(want));
      if (d_.data == Data::kReal)
        right =
            std::abs(got - want_[i]) <= tolerance(want_[i], magnitudes_[i], static_cast<double>(d_.terms), d_.dtype);
      if (right) continue;
      if (wrong++ < 3) {
        char line[128];
        std::snprintf(line, sizeof line, "element %lld is %.9g, not %.9g; ", static_cast<long long>(i), got, want);
        text += line;
      }
    }
    return wrong ? text + std::to_string(wrong) + " of " + std::to_string(sizes_[2]) + " are wrong" : "";
  }

  const Draw &d_;
  const Options &options_;
  const int64_t sizes_[3];  // of the operands and the output
  Buffer a_, b_;
  const bool offset_;
  const int fill_, failed_, threads_;
  const uint64_t seed_;
  Doubles want_, magnitudes_;
  std::vector<std::byte> operands_;
};

int run(const Options &options) {
  std::vector<Level> chosen;
  bool known = options.level == "all";
  for (const Level &level : levels()) {
    if (options.level != "all" && options.level != level.name) continue;
    known = true;
    if (level.present) {
      chosen.push_back(level);
    } else {
      std::printf("skipped: this CPU has no %s\n", level.name);
    }
  }
  if (!known) std::fprintf(stderr, "this program has no level %s\n", options.level.c_str());
  if (chosen.empty()) return known ? 0 : 2;

  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  const int64_t begin = std::max<int64_t>(options.only, 0), end = options.only >= 0 ? begin + 1 : options.count;
  std::atomic<int64_t> next = begin, done = 0;
  std::atomic<bool> failed = false;
  Histogram histogram;
  const auto work = [&] {
    for (int64_t k; !failed && elapsed() < options.seconds && (k = next++) < end;) {
      Random random(options.seed * 0x9E3779B97F4A7C15 ^ static_cast<uint64_t>(k) * 0xD1B54A32D192ED03);
      const Draw d = draw(random);
      if (!options.map.empty() && options.map[0] != "TFG"[static_cast<int>(d.map)]) continue;
      if (!options.dtype.empty() && options.dtype != format(d.dtype).name) continue;
      const std::string text = describe(d);
      if (options.only >= 0) std::printf("%s\n", text.c_str());
      histogram.add(d);
      Trial trial(d, options, random);
      for (const Level &level : chosen) {
        std::snprintf(current, sizeof current, "%s\n  repeat: check --seed %llu --only %lld --level %s --threads %d",
                      text.c_str(), static_cast<unsigned long long>(options.seed), static_cast<long long>(k),
                      level.name, options.threads);
        const std::string fault = trial.fault(level, histogram);
        if (fault.empty()) continue;
        if (!failed.exchange(true)) std::printf("FAULT: %s\n  in %s\n", fault.c_str(), current);
        return;
      }
      ++done;
    }
  };
  std::vector<std::thread> others;
  for (int job = 1; job < options.jobs; ++job) others.emplace_back(work);
  work();
  for (auto &other : others) other.join();
  std::string names;
  for (const Level &level : chosen) names += std::string(" ") + level.name;
  std::printf("%lld draws%s in %.1f s, seed %llu, levels%s\n", static_cast<long long>(done.load()),
              failed ? "" : " are right", elapsed(), static_cast<unsigned long long>(options.seed), names.c_str());
  if (options.only < 0 && !failed) histogram.print();
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace check

int main(int argc, char **argv) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT})
    if (!__sanitizer_set_death_callback) std::signal(signal, check::on_signal);
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(check::report_crash);
  return check::run(check::parse({argv + 1, argv + argc}));
}
