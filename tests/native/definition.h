// The definition, straight from the sum in problem.h: a loop over every image, pixel, tap and channel, in double.
#pragma once
#include <vector>

#include "problem.h"

namespace check {

using jconvt::Axis;
using jconvt::Map;
using jconvt::Problem;

// Calls visit(x's index, w's index, z's index) for each term of the sum.
template <class Visit> void each_term(const Problem &p, Visit visit) {
  const auto &[first, second, third] = p.axis;
  const jconvt::Strides x = jconvt::strides_of(p.axis, &Axis::x_size, p.groups * p.c),
                        z = jconvt::strides_of(p.axis, &Axis::z_size, p.groups * p.o);
  const auto canvas = [](const Axis &axis, int64_t i, int64_t t) {
    return i * axis.stride + t * axis.dilation - axis.lo;
  };
  const auto outside = [](const Axis &axis, int64_t at) { return at < 0 || at >= axis.z_size; };
  for (int64_t i0 = 0; i0 < first.x_size; ++i0)
    for (int64_t t0 = 0; t0 < first.kernel; ++t0)
      for (int64_t i1 = 0; i1 < second.x_size; ++i1)
        for (int64_t t1 = 0; t1 < second.kernel; ++t1)
          for (int64_t i2 = 0; i2 < third.x_size; ++i2)
            for (int64_t t2 = 0; t2 < third.kernel; ++t2) {
              const int64_t z0 = canvas(first, i0, t0), z1 = canvas(second, i1, t1), z2 = canvas(third, i2, t2);
              if (outside(first, z0) || outside(second, z1) || outside(third, z2)) continue;
              const int64_t tap = (t0 * second.kernel + t1) * third.kernel + t2;
              const int64_t pixel_x = i0 * x.axis[0] + i1 * x.axis[1] + i2 * x.axis[2];
              const int64_t pixel_z = z0 * z.axis[0] + z1 * z.axis[1] + z2 * z.axis[2];
              for (int64_t n = 0; n < p.batch; ++n)
                for (int64_t g = 0; g < p.groups; ++g)
                  for (int64_t o = 0; o < p.o; ++o)
                    for (int64_t c = 0; c < p.c; ++c)
                      visit(n * x.batch + pixel_x + g * p.c + c, (tap * p.o + o) * p.groups * p.c + g * p.c + c,
                            n * z.batch + pixel_z + g * p.o + o);
            }
}

using Doubles = std::vector<double>;

// Adds that map of operands a and b to `out`, which holds zeros.
inline void define(Map map, const Problem &p, const Doubles &a, const Doubles &b, Doubles &out) {
  if (map == Map::kTranspose) each_term(p, [&](int64_t x, int64_t w, int64_t z) { out[z] += a[x] * b[w]; });
  if (map == Map::kForward) each_term(p, [&](int64_t x, int64_t w, int64_t z) { out[x] += a[z] * b[w]; });
  if (map == Map::kKernelGradient) each_term(p, [&](int64_t x, int64_t w, int64_t z) { out[w] += a[x] * b[z]; });
}

}  // namespace check
