// What XLA and Python call: the handlers of the three custom calls, and the choice of an instruction set.
#include "xla/ffi/api/ffi.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
  Compute compute;
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

// The threads that XLA hands over, and memory that lives until the handler returns.
class XlaPool final : public Pool {
 public:
  // `work` counts operations and bytes.
  XlaPool(ffi::ThreadPool &pool, double work) : pool_(pool) {
    // This thread is one of as many as XLA has, for one core each, even where it is not one of XLA's pool. To wake
    // another thread costs as much as kWorkOfOneThread.
    constexpr double kWorkOfOneThread = 1 << 20;
    const double useful = std::min(work / kWorkOfOneThread, static_cast<double>(pool.num_threads()));
    threads_ = std::max(1, static_cast<int>(useful));
  }
  XlaPool(const XlaPool &) = delete;
  XlaPool &operator=(const XlaPool &) = delete;

  int threads() const override { return threads_; }

  void run(int64_t tasks, void (*run)(void *context, int64_t task, int thread), void *context) override {
    failed_ |= !run_tasks(tasks, run, context, threads_, [this](auto &&task) { pool_.Schedule(std::move(task)); });
  }

  // Whether a task has failed, for lack of memory.
  bool failed() const { return failed_; }

  // Not from ffi::ScratchAllocator: on a CPU, XLA allocates nothing for it and returns an error.
  void *scratch(size_t bytes) override {
    void *memory = ::operator new(bytes, kAlignment, std::nothrow);
    if (memory != nullptr) scratch_.emplace_back(memory);
    return memory;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Delete {
    void operator()(void *memory) const { ::operator delete(memory, kAlignment); }
  };

  ffi::ThreadPool &pool_;
  int threads_;
  bool failed_ = false;
  std::vector<std::unique_ptr<void, Delete>> scratch_;
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

double work_of(const Problem &problem, size_t bytes) {
  double products = 2.0 * problem.batch * problem.groups * problem.c * problem.o;
  for (const Axis &axis : problem.axis) products *= static_cast<double>(axis.kernel) * axis.x_size;
  return products + bytes;
}

template <Map map>
ffi::Error handle(ffi::ThreadPool pool, ffi::AnyBuffer a, ffi::AnyBuffer b, ffi::Result<ffi::AnyBuffer> out,
                  Integers stride, Integers dilation, Integers lo, int64_t groups) {
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

  XlaPool threads(pool, work_of(*problem, a.size_bytes() + b.size_bytes() + out->size_bytes()));
  bool computed = false;
  try {
    computed = level->compute(map, *dtype, *problem, a.untyped_data(), b.untyped_data(), out->untyped_data(), threads);
  } catch (const std::bad_alloc &) {
    computed = false;
  }
  if (!computed || threads.failed())
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "jconvt: out of memory for temporary arrays");
  return ffi::Error::Success();
}

auto binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::AnyBuffer>()
      .Arg<ffi::AnyBuffer>()
      .Ret<ffi::AnyBuffer>()
      .Attr<Integers>("stride")
      .Attr<Integers>("dilation")
      .Attr<Integers>("lo")
      .Attr<int64_t>("groups");
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

// The version of this interface, which the Python that loads it compares.
JCONVT_EXPORT int jconvt_abi() { return 3; }
