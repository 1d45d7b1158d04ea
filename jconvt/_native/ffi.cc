// What XLA and Python call: the handlers of the three custom calls, and the choice of an instruction set.
#include "xla/ffi/api/ffi.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "kernels.h"
#include "tasks.h"

#if defined(_WIN32)
#define JCONVT_EXPORT extern "C" __declspec(dllexport)
#else
#define JCONVT_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace ffi = xla::ffi;

namespace jconvt {
namespace {

struct Level {
  const char *name;
  Compute *compute;
  bool (*is_supported)();
};

// From the best to the one that every CPU has. The compiler's test includes that the operating system saves registers.
const Level kLevels[] = {
#if defined(__x86_64__) || defined(_M_X64)
    {"avx512_bf16", avx512_bf16::compute,
     [] { return kLevels[1].is_supported() && __builtin_cpu_supports("avx512bf16") != 0; }},
    {"avx512", avx512::compute,
     [] {
       return kLevels[2].is_supported() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
     }},
    {"avx2", avx2::compute,
     [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); }},
#endif
    {"baseline", baseline::compute, [] { return true; }},
};

// The level of this name, or the best of this CPU; nullptr if there is no such level here.
const Level *find_level(const char *wanted) {
  for (const Level &level : kLevels)
    if ((wanted == nullptr || level.name == std::string_view(wanted)) && level.is_supported()) return &level;
  return nullptr;
}

// The level in use. Python sets it once, before it registers the handlers.
std::atomic<const Level *> level_in_use{nullptr};

// The threads that XLA hands over, and an array of its own for scratch memory.
class XlaPool final : public Pool {
 public:
  XlaPool(ffi::ThreadPool &pool, int64_t threads, ffi::AnyBuffer scratch)
      : pool_(pool),
        threads_(static_cast<int>(std::clamp<int64_t>(threads, 1, std::max<int64_t>(1, pool.num_threads())))),
        free_(scratch.untyped_data()),
        free_bytes_(scratch.size_bytes()) {}

  int threads() const override { return threads_; }
  void run(int64_t tasks, void (*run)(void *context, int64_t task, int thread), void *context) override {
    if (!run_tasks(tasks, run, context, threads_, [this](auto &&task) { pool_.Schedule(std::move(task)); }))
      throw std::bad_alloc();
  }
  void *scratch(size_t bytes) override {
    if (std::align(64, bytes, free_, free_bytes_) == nullptr) throw std::bad_alloc();
    free_bytes_ -= bytes;
    return std::exchange(free_, static_cast<char *>(free_) + bytes);
  }

 private:
  ffi::ThreadPool &pool_;
  int threads_;
  void *free_;
  size_t free_bytes_;
};

// Counts the scratch memory of a call. No task runs, and only tasks use the memory: any pointer will do.
struct CountingPool final : Pool {
  explicit CountingPool(int threads) : threads_(threads) {}
  int threads() const override { return threads_; }
  void run(int64_t, void (*)(void *, int64_t, int), void *) override {}
  void *scratch(size_t bytes) override {
    bytes_ += static_cast<int64_t>(bytes + 63) / 64 * 64;
    return this;
  }
  const int threads_;
  int64_t bytes_ = 0;
};

using Dimensions = ffi::AnyBuffer::Dimensions;
using Integers = ffi::Span<const int64_t>;

std::optional<Dtype> dtype_of(ffi::DataType dtype) {
  switch (dtype) {
    case ffi::F32: return Dtype::kFloat32;
    case ffi::F64: return Dtype::kFloat64;
    case ffi::BF16: return Dtype::kBfloat16;
    case ffi::F16: return Dtype::kFloat16;
    default: return std::nullopt;
  }
}

// The problem that these shapes and this geometry make; nothing if they do not fit each other.
std::optional<Problem> problem_of(Dimensions x, Dimensions w, Dimensions z, Integers stride, Integers dilation,
                                  Integers lo, int64_t groups) {
  constexpr int64_t kLargest = (int64_t{1} << 31) - 1;  // no product of two overflows
  const size_t rank = stride.size();
  if (rank < 1 || rank > 3 || dilation.size() != rank || lo.size() != rank || groups < 1) return std::nullopt;
  if (x.size() != rank + 2 || w.size() != rank + 2 || z.size() != rank + 2) return std::nullopt;
  for (Dimensions shape : {x, w, z})
    for (int64_t size : shape)
      if (size < 1 || size > kLargest) return std::nullopt;

  const int64_t inputs = x[rank + 1], outputs = z[rank + 1];
  if (x[0] != z[0] || w[rank + 1] != inputs || inputs % groups != 0 || outputs % groups != 0 ||
      w[rank] != outputs / groups)
    return std::nullopt;

  Problem problem{x[0], groups, inputs / groups, outputs / groups, {}};
  std::fill(problem.axis, problem.axis + 3 - rank, Axis{1, 1, 1, 0, 1, 1});
  for (size_t i = 0; i < rank; ++i) {
    if (stride[i] < 1 || stride[i] > kLargest || dilation[i] < 1 || dilation[i] > kLargest || lo[i] < -kLargest ||
        lo[i] > kLargest)
      return std::nullopt;
    problem.axis[3 - rank + i] = {w[i], stride[i], dilation[i], lo[i], x[1 + i], z[1 + i]};
  }
  return problem;
}

template <Map map>
ffi::Error handle(ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer b, ffi::Result<ffi::AnyBuffer> out,
                  ffi::Result<ffi::AnyBuffer> scratch, Integers stride, Integers dilation, Integers lo, int64_t groups,
                  int64_t threads) {
  const Dimensions x = map == Map::kForward ? out->dimensions() : a.dimensions();
  const Dimensions w = map == Map::kKernelGradient ? out->dimensions() : b.dimensions();
  const Dimensions z = map == Map::kTranspose        ? out->dimensions()
                       : map == Map::kKernelGradient ? b.dimensions()
                                                     : a.dimensions();
  const std::optional<Dtype> dtype = dtype_of(a.element_type());
  if (!dtype || b.element_type() != a.element_type() || out->element_type() != a.element_type())
    return ffi::Error::InvalidArgument("jconvt: the operands and the result do not have one floating-point dtype");
  const std::optional<Problem> problem = problem_of(x, w, z, stride, dilation, lo, groups);
  if (!problem) return ffi::Error::InvalidArgument("jconvt: the shapes of the operands do not fit the geometry");
  const Level *const level = level_in_use;
  if (level == nullptr) return ffi::Error(ffi::ErrorCode::kUnimplemented, "jconvt: no instruction set to use");

  try {  // this thread is one of `threads`, for one core each, even where it is not one of XLA's pool
    XlaPool own_pool(pool, threads, *scratch);
    level->compute(map, *dtype, *problem, a.untyped_data(), b.untyped_data(), out->untyped_data(), own_pool);
  } catch (const std::bad_alloc &) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted,
                      "jconvt: too little temporary memory (was the program compiled for another instruction set?)");
  }
  return ffi::Error::Success();
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::AnyBuffer>()
      .Arg<ffi::AnyBuffer>()
      .Ret<ffi::AnyBuffer>()
      .Ret<ffi::AnyBuffer>()
      .Attr<Integers>("stride")
      .Attr<Integers>("dilation")
      .Attr<Integers>("lo")
      .Attr<int64_t>("groups")
      .Attr<int64_t>("threads");
}

}  // namespace
}  // namespace jconvt

// Declared before XLA defines them, so that they are exported.
JCONVT_EXPORT XLA_FFI_Error *jconvt_transpose(XLA_FFI_CallFrame *);
JCONVT_EXPORT XLA_FFI_Error *jconvt_forward(XLA_FFI_CallFrame *);
JCONVT_EXPORT XLA_FFI_Error *jconvt_kernel_gradient(XLA_FFI_CallFrame *);

XLA_FFI_DEFINE_HANDLER_SYMBOL(jconvt_transpose, jconvt::handle<jconvt::Map::kTranspose>, jconvt::binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(jconvt_forward, jconvt::handle<jconvt::Map::kForward>, jconvt::binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(jconvt_kernel_gradient, jconvt::handle<jconvt::Map::kKernelGradient>, jconvt::binding());

// Selects the instruction set of this name, or with nullptr the best, and returns its name; nullptr if it is not here.
JCONVT_EXPORT const char *jconvt_select(const char *instruction_set) {
  const jconvt::Level *const found = jconvt::find_level(instruction_set);
  jconvt::level_in_use = found;
  return found == nullptr ? nullptr : found->name;
}

// The bytes of scratch memory that a call needs. The numbers are the shapes of x, w and z, and then stride, dilation
// and lo. Returns -1 if they do not fit, or for lack of memory.
JCONVT_EXPORT int64_t jconvt_scratch_bytes(int map, int dtype, const int64_t *numbers, int64_t rank, int64_t groups,
                                           int64_t threads) try {
  const auto next = [&](size_t size) { return jconvt::Integers(std::exchange(numbers, numbers + size), size); };
  const auto x = next(rank + 2), w = next(rank + 2), z = next(rank + 2), stride = next(rank), dilation = next(rank);
  const auto problem = jconvt::problem_of(x, w, z, stride, dilation, next(rank), groups);
  const jconvt::Level *const level = jconvt::level_in_use;
  if (!problem || level == nullptr) return -1;
  jconvt::CountingPool pool(static_cast<int>(threads));
  level->compute(jconvt::Map(map), jconvt::Dtype(dtype), *problem, nullptr, nullptr, nullptr, pool);
  return pool.bytes_ + 64;
} catch (const std::bad_alloc &) {
  return -1;
}

// The version of this interface, which the Python that loads it compares.
JCONVT_EXPORT int jconvt_abi() { return 4; }
