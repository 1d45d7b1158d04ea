// The entry points of the kernels: the same function, compiled once for each instruction set.
#pragma once
#include "pool.h"
#include "problem.h"

namespace jconvt {

// Computes a map of operands a and b: (x, w), (z, w) or (x, z). Throws std::bad_alloc if there is no memory left.
using Compute = void(Map map, Dtype dtype, const Problem &problem, const void *a, const void *b, void *out, Pool &pool);

// On x86-64; on other CPUs, only the baseline has code.
namespace baseline { Compute compute; }
namespace avx2 { Compute compute; }
namespace avx512 { Compute compute; }
namespace avx512_bf16 { Compute compute; }

}  // namespace jconvt
