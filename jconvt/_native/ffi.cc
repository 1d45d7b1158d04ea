// A stand-in for the interface to XLA, so that the build can be tested.
#include <cstdlib>
#include <cstring>

#include "kernels.h"
#include "xla/ffi/api/ffi.h"

#ifdef _WIN32
#define JCONVT_EXPORT extern "C" __declspec(dllexport)
#else
#define JCONVT_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace ffi = xla::ffi;
namespace jconvt {
static ffi::Error transpose(ffi::AnyBuffer, ffi::AnyBuffer, ffi::Result<ffi::AnyBuffer>) {
  return ffi::Error(ffi::ErrorCode::kUnimplemented, "stub");
}
volatile Compute all[] = {baseline::compute,
#if defined(__x86_64__)
                          avx2::compute, avx512::compute, avx512_bf16::compute
#endif
};
}  // namespace jconvt
JCONVT_EXPORT XLA_FFI_Error *jconvt_transpose(XLA_FFI_CallFrame *);
JCONVT_EXPORT XLA_FFI_Error *jconvt_forward(XLA_FFI_CallFrame *);
JCONVT_EXPORT XLA_FFI_Error *jconvt_kernel_gradient(XLA_FFI_CallFrame *);
#define B ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
XLA_FFI_DEFINE_HANDLER_SYMBOL(jconvt_transpose, jconvt::transpose, B);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jconvt_forward, jconvt::transpose, B);
XLA_FFI_DEFINE_HANDLER_SYMBOL(jconvt_kernel_gradient, jconvt::transpose, B);
JCONVT_EXPORT int jconvt_abi() { return 1; }
JCONVT_EXPORT const char *jconvt_instruction_set() {
  const char *asked = std::getenv("JCONVT_NATIVE_ISA");
  if (!asked) return "baseline";
  for (const char *each : {"baseline", "avx2", "avx512"})
    if (!std::strcmp(asked, each)) return each;
  return nullptr;
}
