// A geometry with sizes: what a kernel needs to know about a call. Plain integers, the same for every instruction set.
//
//   <z, T(x, w)>  =  sum over n, i, t, c, o of  x[n, i, c] * w[t, o, c] * z[n, i * stride + t * dilation - lo, o]
#pragma once
#include <cstddef>
#include <cstdint>

namespace jconvt {

// The three maps of that sum: T(x, w) -> z, F(z, w) -> x, and G(x, z) -> w.
enum class Map { kTranspose, kForward, kKernelGradient };

enum class Dtype { kFloat32, kFloat64, kBfloat16, kFloat16 };

// One spatial axis. The canvas of x_size pixels is cropped by lo at its beginning, or extended if lo is negative, and
// then to z_size pixels.
struct Axis {
  int64_t kernel, stride, dilation, lo, x_size, z_size;
};

// Problems of fewer axes have leading axes of size 1. Channels are those of one group. All arrays are contiguous:
// images have their channels last, and w has the order (taps..., o, groups * c). No size is 0.
struct Problem {
  int64_t batch, groups, c, o;
  Axis axis[3];
};

// Where the pixels of an image are, in elements.
struct Strides {
  int64_t batch, axis[3];
};

// Those of x or z, as `size` says, if a pixel has so many `numbers`.
inline Strides strides_of(const Axis (&axis)[3], int64_t Axis::*size, int64_t numbers) {
  const int64_t row = numbers * (axis[2].*size);
  return {row * (axis[1].*size) * (axis[0].*size), {row * (axis[1].*size), row, numbers}};
}

}  // namespace jconvt
