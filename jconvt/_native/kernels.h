// The entry points of the kernels: the same function, compiled once for each instruction set.
#pragma once
#include "pool.h"
#include "problem.h"

namespace jconvt {

// Computes a map of operands a and b: (x, w), (z, w) or (x, z). Returns false if there is no scratch memory left.
using Compute = bool (*)(Map map, Dtype dtype, const Problem &problem, const void *a, const void *b, void *out,
                         Pool &pool);

namespace baseline {
bool compute(Map, Dtype, const Problem &, const void *, const void *, void *, Pool &);
}
#if defined(__x86_64__) || defined(_M_X64)
namespace avx2 {
bool compute(Map, Dtype, const Problem &, const void *, const void *, void *, Pool &);
}
namespace avx512 {
bool compute(Map, Dtype, const Problem &, const void *, const void *, void *, Pool &);
}
namespace avx512_bf16 {
bool compute(Map, Dtype, const Problem &, const void *, const void *, void *, Pool &);
}
#endif

}  // namespace jconvt
