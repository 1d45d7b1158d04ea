// Compiled once for each instruction set, into the namespace that JCONVT_ISA names.
#include "kernels.h"

#ifndef JCONVT_ISA
#error "define JCONVT_ISA as baseline, avx2, avx512 or avx512_bf16"
#endif

#include "kernel_gradient.h"
#include "stamp.h"

namespace jconvt::JCONVT_ISA {
namespace {

// An image in the type of the products: itself, or a copy in scratch memory.
template <class N> struct Image {
  const N *data;
  Strides strides;
};

// What is copied, row by row: `padded` numbers for the channels of each group, those beyond them 0.
template <class S, class N> struct Staging {
  const S *from;
  N *to;
  int64_t size, channels, padded;  // the number of groups in a row, and their channels

  void row(int64_t task, int) const {
    const S *source = from + task * size * channels;
    N *target = to + task * size * padded;
    if (channels == padded) return copy(source, target, size * channels);
    for (int64_t i = 0; i < size; ++i, source += channels, target += padded) {
      copy(source, target, channels);
      for (int64_t j = channels; j < padded; ++j) target[j] = {};
    }
  }
};

// Each group has a multiple of `numbers` channels then.
template <class S, class N>
void stage(const S *from, const Problem &p, int64_t Axis::*size, int64_t channels, int64_t numbers, Pool &pool,
           Image<N> *image) {
  int64_t groups = p.groups;
  if (channels % numbers == 0) channels *= std::exchange(groups, 1);
  const int64_t padded = round_up(channels, numbers), rows = p.batch * (p.axis[0].*size) * (p.axis[1].*size);
  image->strides = strides_of(p.axis, size, groups * padded);
  if constexpr (std::is_same_v<S, N>) {
    image->data = from;
    if (channels == padded && reinterpret_cast<uintptr_t>(from) % (numbers * sizeof(S)) == 0) return;
  }
  auto *copied = static_cast<N *>(pool.scratch(p.batch * image->strides.batch * sizeof(N)));
  image->data = copied;
  const Staging<S, N> staging{from, copied, p.axis[2].*size * groups, channels, padded};
  run_tasks<&Staging<S, N>::row>(pool, rows, &staging);
}

template <class S, class A>
void gather(bool transposed, bool depthwise, const Problem &p, const S *in, const S *w, S *out, Pool &pool) {
  constexpr int64_t kOfTerm = kNumbers<A>;
  const int64_t channels = transposed ? p.c : p.o, width = transposed ? p.o : p.c;
  Image<Number<A>> image;
  const auto from_size = transposed ? &Axis::x_size : &Axis::z_size,
             to_size = transposed ? &Axis::z_size : &Axis::x_size;
  stage(in, p, from_size, channels, kOfTerm, pool, &image);
  const Strides &from = image.strides,
                strides{from.batch / kOfTerm, {from.axis[0] / kOfTerm, from.axis[1] / kOfTerm, from.axis[2] / kOfTerm}};
  const Gather<S, A> gather{transposed,
                            depthwise,
                            p.batch,
                            depthwise ? 1 : p.groups,
                            channels,
                            depthwise ? p.groups : width,
                            p.axis,
                            strides,
                            strides_of(p.axis, to_size, p.groups * width),
                            reinterpret_cast<const A *>(image.data),
                            w,
                            out};
  if (!depthwise && StampGather<S, A>::suits(gather)) return StampGather<S, A>(gather).run(pool);
  DenseGather<S, A>(gather, pool.threads()).run(pool);
}

template <class S, class A>
void gradient(bool depthwise, const Problem &p, const S *a, const S *b, S *out, Pool &pool) {
  Image<Number<A>> x, z;
  Problem lanes = p;
  if (depthwise) std::swap(lanes.groups, lanes.c);  // the groups share the lanes of vectors
  stage(a, p, &Axis::x_size, p.c, 1, pool, &x);
  stage(b, p, &Axis::z_size, p.o, 1, pool, &z);
  KernelGradient<S, A>(lanes, depthwise, x.strides, z.strides, x.data, z.data, out, pool.threads()).run(pool);
}

template <class S> void compute_as(Map map, const Problem &p, const S *a, const S *b, S *out, Pool &pool) {
  const bool depthwise = p.groups > 1 && p.c == 1 && p.o == 1;
  if (map == Map::kKernelGradient)
    return (depthwise ? gradient<S, Sum<S>> : gradient<S, Term<S>>)(depthwise, p, a, b, out, pool);
  return (depthwise ? gather<S, Sum<S>> : gather<S, Term<S>>)(map == Map::kTranspose, depthwise, p, a, b, out, pool);
}

}  // namespace

void compute(Map map, Dtype dtype, const Problem &problem, const void *a, const void *b, void *out, Pool &pool) {
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
