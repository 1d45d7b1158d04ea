// Compiled once for each instruction set, into the namespace that JCONVT_ISA names.
#include "kernels.h"

#ifndef JCONVT_ISA
#error "define JCONVT_ISA as baseline, avx2, avx512 or avx512_bf16"
#endif

#include "kernel_gradient.h"
#include "stamp.h"

namespace jconvt::JCONVT_ISA {
namespace {

// An image with contiguous channels, as terms of type A: itself, or a copy in scratch memory. Strides are in terms.
template <class A>
struct Image {
  const A *data;
  Strides strides;
};

template <class S, class A>
struct Staging {
  const S *from;
  Strides from_strides;
  A *to;
  Strides to_strides;
  int64_t groups, channels, size1, size2;

  void row(int64_t n, int64_t i) const {
    for (int64_t j = 0; j < size1; ++j)
      for (int64_t group = 0; group < groups; ++group)
        pixels(from + n * from_strides.batch + i * from_strides.axis[0] + j * from_strides.axis[1] + group * channels * from_strides.channel,
               to + n * to_strides.batch + i * to_strides.axis[0] + j * to_strides.axis[1] + group * ceil_div(channels, kNumbers<A>));
  }

  void pixels(const S *source, A *target) const {
    if constexpr (std::is_same_v<A, Pair>) {
      if (from_strides.channel == 1) {
        for (int64_t k = 0; k < size2; ++k) transpose(source + k * from_strides.axis[2], 0, target + k * to_strides.axis[2], 1, 1, channels);
      } else {
        transpose_pairs(source, from_strides.channel, target, to_strides.axis[2], channels, size2);
      }
    } else if (from_strides.channel == 1) {
      copy(source, target, size2 * channels);
    } else {
      transpose(source, from_strides.channel, target, channels, channels, size2);
    }
  }
};

template <class S, class A>
bool stage(const S *from, const Strides &strides, int64_t batch, int64_t groups, int64_t channels, const int64_t *sizes, Pool &pool, Image<A> *image) {
  constexpr int64_t kOfTerm = kNumbers<A>;
  if (channels % kOfTerm == 0) {  // the channels of a group end with a term, so groups are no more than channels
    channels *= std::exchange(groups, 1);
    if (strides.channel == 1 && sizeof(A) == kOfTerm * sizeof(S) && reinterpret_cast<uintptr_t>(from) % sizeof(A) == 0) {
      const int64_t *axis = strides.axis;
      *image = {reinterpret_cast<const A *>(from), {strides.batch / kOfTerm, 1, {axis[0] / kOfTerm, axis[1] / kOfTerm, axis[2] / kOfTerm}}};
      return true;
    }
  }
  Strides &to = image->strides;
  to.channel = 1;
  to.axis[2] = groups * ceil_div(channels, kOfTerm);
  to.axis[1] = to.axis[2] * sizes[2];
  to.axis[0] = to.axis[1] * sizes[1];
  to.batch = to.axis[0] * sizes[0];
  auto *copied = static_cast<A *>(pool.scratch(static_cast<size_t>(batch * to.batch) * sizeof(A)));
  if (!copied) return false;
  image->data = copied;
  struct Rows {
    Staging<S, A> staging;
    int64_t count;
  } rows{{from, strides, copied, to, groups, channels, sizes[1], sizes[2]}, sizes[0]};
  pool.run(batch * sizes[0], [](void *context, int64_t task, int) {
    const Rows &rows = *static_cast<const Rows *>(context);
    rows.staging.row(task / rows.count, task % rows.count);
  }, &rows);
  return true;
}

struct Sizes {
  int64_t x[3], z[3];
  explicit Sizes(const Problem &p) {
    for (int i = 0; i < 3; ++i) {
      x[i] = p.axis[i].x_size;
      z[i] = p.axis[i].z_size;
    }
  }
};

template <class S, class A>
bool gather(bool transposed, bool depthwise, const Problem &p, const S *in, const S *w, S *out, Pool &pool) {
  const Sizes sizes(p);
  const int64_t channels = transposed ? p.c : p.o, width = transposed ? p.o : p.c;
  Image<A> image;
  if (!stage(in, transposed ? p.x : p.z, p.batch, p.groups, channels, transposed ? sizes.x : sizes.z, pool, &image)) return false;
  const Gather<S, A> gather{transposed, depthwise, p.batch, depthwise ? 1 : p.groups, channels, depthwise ? p.groups : width, p.axis,
                            image.strides, transposed ? p.z : p.x, image.data, w, out};
  return !depthwise && StampGather<S, A>::suits(gather) ? StampGather<S, A>(gather).run(pool) : DenseGather<S, A>(gather, pool.threads()).run(pool);
}

template <class S>
bool compute_as(Map map, const Problem &p, const S *a, const S *b, S *out, Pool &pool) {
  if (map == Map::kKernelGradient) {
    const Sizes sizes(p);
    Image<Sum<S>> x, z;
    if (!stage(a, p.x, p.batch, p.groups, p.c, sizes.x, pool, &x)) return false;
    if (!stage(b, p.z, p.batch, p.groups, p.o, sizes.z, pool, &z)) return false;
    return KernelGradient<S>({p, x.strides, z.strides, x.data, z.data, out}, pool.threads()).run(pool);
  }
  const bool depthwise = p.groups > 1 && p.c == 1 && p.o == 1;
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
