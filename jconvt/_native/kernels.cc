// Compiled once for each instruction set, into the namespace that JCONVT_ISA names.
#include "kernels.h"

#ifndef JCONVT_ISA
#error "define JCONVT_ISA as baseline, avx2, avx512 or avx512_bf16"
#endif

#include "kernel_gradient.h"
#include "stamp.h"

namespace jconvt::JCONVT_ISA {
namespace {

// An image with contiguous channels: itself, or a copy in scratch memory.
template <class N> struct Image {
  const N *data;
  Strides strides;
};

// What is copied: `padded` numbers for the channels of each group, those beyond them 0.
template <class S, class N> struct Staging {
  const S *from;
  Strides from_strides;
  N *to;
  Strides to_strides;
  int64_t groups, channels, padded, size0, size1, size2;

  void row(int64_t task, int) const {
    const int64_t n = task / (size0 * size1), i = task / size1 % size0, j = task % size1;
    for (int64_t group = 0; group < groups; ++group)
      pixels(from + n * from_strides.batch + i * from_strides.axis[0] + j * from_strides.axis[1] +
                 group * channels * from_strides.channel,
             to + n * to_strides.batch + i * to_strides.axis[0] + j * to_strides.axis[1] + group * padded);
  }

  void pixels(const S *source, N *target) const {
    const int64_t step = to_strides.axis[2];
    if (from_strides.channel > 1) {
      transpose(source, from_strides.channel, target, step, channels, size2);
    } else if (channels == step) {
      copy(source, target, size2 * channels);
    } else {
      for (int64_t k = 0; k < size2; ++k) copy(source + k * from_strides.axis[2], target + k * step, channels);
    }
    for (int64_t k = 0; k < size2; ++k)
      for (int64_t channel = channels; channel < padded; ++channel) target[k * step + channel] = {};
  }
};

// Each group has a multiple of `numbers` channels then.
template <class S, class N>
bool stage(const S *from, const Strides &strides, int64_t batch, int64_t groups, int64_t channels, int64_t numbers,
           const Axis *axis, int64_t Axis::*size, Pool &pool, Image<N> *image) {
  const int64_t sizes[3] = {axis[0].*size, axis[1].*size, axis[2].*size};
  image->strides = strides;
  if (channels % numbers == 0) channels *= std::exchange(groups, 1);
  const int64_t padded = round_up(channels, numbers);
  if constexpr (std::is_same_v<S, N>) {
    image->data = from;
    if (strides.channel == 1 && channels == padded && reinterpret_cast<uintptr_t>(from) % (numbers * sizeof(S)) == 0)
      return true;
  }
  Strides &to = image->strides;
  to.channel = 1;
  to.axis[2] = groups * padded;
  to.axis[1] = to.axis[2] * sizes[2];
  to.axis[0] = to.axis[1] * sizes[1];
  to.batch = to.axis[0] * sizes[0];
  auto *copied = static_cast<N *>(pool.scratch(batch * to.batch * sizeof(N)));
  if (!copied) return false;
  image->data = copied;
  const Staging<S, N> rows{from, strides, copied, to, groups, channels, padded, sizes[0], sizes[1], sizes[2]};
  run_tasks<&Staging<S, N>::row>(pool, batch * sizes[0] * sizes[1], &rows);
  return true;
}

template <class S, class A>
bool gather(bool transposed, bool depthwise, const Problem &p, const S *in, const S *w, S *out, Pool &pool) {
  constexpr int64_t kOfTerm = kNumbers<A>;
  const int64_t channels = transposed ? p.c : p.o, width = transposed ? p.o : p.c;
  Image<Number<A>> image;
  if (!stage(in, transposed ? p.x : p.z, p.batch, p.groups, channels, kOfTerm, p.axis,
             transposed ? &Axis::x_size : &Axis::z_size, pool, &image))
    return false;
  const Strides &from = image.strides,
                strides{
                    from.batch / kOfTerm, 1, {from.axis[0] / kOfTerm, from.axis[1] / kOfTerm, from.axis[2] / kOfTerm}};
  const Gather<S, A> gather{transposed,
                            depthwise,
                            p.batch,
                            depthwise ? 1 : p.groups,
                            channels,
                            depthwise ? p.groups : width,
                            p.axis,
                            strides,
                            transposed ? p.z : p.x,
                            reinterpret_cast<const A *>(image.data),
                            w,
                            out};
  return !depthwise && StampGather<S, A>::suits(gather) ? StampGather<S, A>(gather).run(pool)
                                                        : DenseGather<S, A>(gather, pool.threads()).run(pool);
}

template <class S, class A>
bool gradient(bool depthwise, const Problem &p, const S *a, const S *b, S *out, Pool &pool) {
  Image<Number<A>> x, z;
  Problem lanes = p;
  if (depthwise) std::swap(lanes.groups, lanes.c);  // the groups share the lanes of vectors
  return stage(a, p.x, p.batch, p.groups, p.c, 1, p.axis, &Axis::x_size, pool, &x) &&
         stage(b, p.z, p.batch, p.groups, p.o, 1, p.axis, &Axis::z_size, pool, &z) &&
         KernelGradient<S, A>(lanes, depthwise, x.strides, z.strides, x.data, z.data, out, pool.threads()).run(pool);
}

template <class S> bool compute_as(Map map, const Problem &p, const S *a, const S *b, S *out, Pool &pool) {
  const bool depthwise = p.groups > 1 && p.c == 1 && p.o == 1;
  if (map == Map::kKernelGradient)
    return (depthwise ? gradient<S, Sum<S>> : gradient<S, Term<S>>)(depthwise, p, a, b, out, pool);
  return (depthwise ? gather<S, Sum<S>> : gather<S, Term<S>>)(map == Map::kTranspose, depthwise, p, a, b, out, pool);
}

}  // namespace

bool compute(Map map, Dtype dtype, const Problem &problem, const void *a, const void *b, void *out, Pool &pool) {
  const auto as = [&]<class S>() {
    return compute_as(map, problem, static_cast<const S *>(a), static_cast<const S *>(b), static_cast<S *>(out), pool);
  };
  switch (dtype) {
    case Dtype::kFloat32: return as.template operator()<float>();
    case Dtype::kFloat64: return as.template operator()<double>();
    case Dtype::kBfloat16: return as.template operator()<Bfloat16>();
    default: return as.template operator()<Float16>();
  }
}

}  // namespace jconvt::JCONVT_ISA
