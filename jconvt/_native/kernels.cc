// Compiled once for each instruction set, into the namespace that JCONVT_ISA names.
#include "kernels.h"

#ifndef JCONVT_ISA
#error "define JCONVT_ISA as baseline, avx2, avx512 or avx512_bf16"
#endif

namespace jconvt::JCONVT_ISA {
namespace {

// Half precision as the bits of its numbers.
struct Bfloat16 {
  uint16_t bits;
  operator float() const {
    const uint32_t wide = uint32_t{bits} << 16;
    float value;
    __builtin_memcpy(&value, &wide, 4);
    return value;
  }
};

template <class T, class Sum>
void naive(Map map, const Problem &p, const T *x, const T *w, const T *z, Sum *out) {
  const Axis *a = p.axis;
  for (int64_t n = 0; n < p.batch; ++n)
    for (int64_t g = 0; g < p.groups; ++g)
      for (int64_t i0 = 0; i0 < a[0].x_size; ++i0)
        for (int64_t i1 = 0; i1 < a[1].x_size; ++i1)
          for (int64_t i2 = 0; i2 < a[2].x_size; ++i2)
            for (int64_t t0 = 0; t0 < a[0].kernel; ++t0)
              for (int64_t t1 = 0; t1 < a[1].kernel; ++t1)
                for (int64_t t2 = 0; t2 < a[2].kernel; ++t2) {
                  const int64_t z0 = i0 * a[0].stride + t0 * a[0].dilation - a[0].lo;
                  const int64_t z1 = i1 * a[1].stride + t1 * a[1].dilation - a[1].lo;
                  const int64_t z2 = i2 * a[2].stride + t2 * a[2].dilation - a[2].lo;
                  if (z0 < 0 || z1 < 0 || z2 < 0 || z0 >= a[0].z_size || z1 >= a[1].z_size || z2 >= a[2].z_size) continue;
                  const int64_t tap = (t0 * a[1].kernel + t1) * a[2].kernel + t2;
                  for (int64_t o = 0; o < p.o; ++o)
                    for (int64_t c = 0; c < p.c; ++c) {
                      const int64_t at_x = n * p.x.batch + i0 * p.x.axis[0] + i1 * p.x.axis[1] + i2 * p.x.axis[2] + (g * p.c + c) * p.x.channel;
                      const int64_t at_z = n * p.z.batch + z0 * p.z.axis[0] + z1 * p.z.axis[1] + z2 * p.z.axis[2] + (g * p.o + o) * p.z.channel;
                      const int64_t at_w = (tap * p.o + o) * p.groups * p.c + g * p.c + c;
                      if (map == Map::kTranspose) out[at_z] += Sum(x[at_x]) * Sum(w[at_w]);
                      if (map == Map::kForward) out[at_x] += Sum(z[at_z]) * Sum(w[at_w]);
                      if (map == Map::kKernelGradient) out[at_w] += Sum(x[at_x]) * Sum(z[at_z]);
                    }
                }
}

template <class T>
void typed(Map map, const Problem &p, const void *a, const void *b, void *out) {
  const T *x = static_cast<const T *>(map == Map::kForward ? nullptr : a), *z = static_cast<const T *>(map == Map::kForward ? a : b);
  const T *w = static_cast<const T *>(map == Map::kKernelGradient ? nullptr : b);
  int64_t size = 1;
  if (map == Map::kKernelGradient) {
    size = p.axis[0].kernel * p.axis[1].kernel * p.axis[2].kernel * p.o * p.c * p.groups;
  } else {
    size = p.batch * (map == Map::kForward ? p.x.batch : p.z.batch);
  }
  __builtin_memset(out, 0, size * sizeof(T));
  naive(map, p, x, w, z, static_cast<T *>(out));
}

}  // namespace

bool compute(Map map, Dtype dtype, const Problem &p, const void *a, const void *b, void *out, Pool &) {
  if (dtype == Dtype::kFloat64) {
    typed<double>(map, p, a, b, out);
  } else {
    typed<float>(map, p, a, b, out);
  }
  return true;
}

}  // namespace jconvt::JCONVT_ISA
