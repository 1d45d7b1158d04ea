// Compiled once for each instruction set, into the namespace that JCONVT_ISA names.
#include "kernels.h"

#ifndef JCONVT_ISA
#error "define JCONVT_ISA as baseline, avx2, avx512 or avx512_bf16"
#endif

#include "kernel_gradient.h"
#include "stamp.h"

namespace jconvt::JCONVT_ISA {
namespace {

// An image with contiguous channels, in the type of sums: itself, or a copy in scratch memory.
template <class S>
struct Image {
  const Sum<S> *data;
  Strides strides;
};

template <class S>
struct Staging {
  const S *from;
  Strides from_strides;
  Sum<S> *to;
  Strides to_strides;
  int64_t channels, size1, size2;

  void row(int64_t n, int64_t i) const {
    for (int64_t j = 0; j < size1; ++j) {
      const S *source = from + n * from_strides.batch + i * from_strides.axis[0] + j * from_strides.axis[1];
      Sum<S> *target = to + n * to_strides.batch + i * to_strides.axis[0] + j * to_strides.axis[1];
      if (from_strides.channel == 1) {
        copy(source, target, size2 * channels);
      } else {
        transpose(source, from_strides.channel, target, channels, channels, size2);
      }
    }
  }
};

template <class S>
bool stage(const S *from, const Strides &strides, int64_t batch, int64_t channels, const int64_t *sizes, Pool &pool, Image<S> *image) {
  image->strides = strides;
  if constexpr (std::is_same_v<S, Sum<S>>) {
    image->data = from;
    if (strides.channel == 1) return true;
  }
  Strides &to = image->strides;
  to.channel = 1;
  to.axis[2] = channels;
  to.axis[1] = to.axis[2] * sizes[2];
  to.axis[0] = to.axis[1] * sizes[1];
  to.batch = to.axis[0] * sizes[0];
  auto *copied = static_cast<Sum<S> *>(pool.scratch(static_cast<size_t>(batch * to.batch) * sizeof(Sum<S>)));
  if (!copied) return false;
  image->data = copied;
  struct Rows {
    Staging<S> staging;
    int64_t count;
  } rows{{from, strides, copied, to, channels, sizes[1], sizes[2]}, sizes[0]};
  pool.run(batch * sizes[0], [](void *context, int64_t task, int) {
    const Rows &rows = *static_cast<const Rows *>(context);
    rows.staging.row(task / rows.count, task % rows.count);
  }, &rows);
  return true;
}

template <class S>
bool gather(const Gather<S> &gather, Pool &pool) {
  return !gather.depthwise && StampGather<S>::suits(gather) ? StampGather<S>(gather).run(pool) : DenseGather<S>(gather, pool.threads()).run(pool);
}

template <class S>
bool compute_as(Map map, const Problem &p, const S *a, const S *b, S *out, Pool &pool) {
  const bool depthwise = p.groups > 1 && p.c == 1 && p.o == 1;
  const int64_t groups = depthwise ? 1 : p.groups, c = depthwise ? p.groups : p.c, o = depthwise ? p.groups : p.o;
  int64_t x_sizes[3], z_sizes[3];
  for (int i = 0; i < 3; ++i) {
    x_sizes[i] = p.axis[i].x_size;
    z_sizes[i] = p.axis[i].z_size;
  }
  Image<S> x, z;
  switch (map) {
    case Map::kTranspose:
      if (!stage(a, p.x, p.batch, p.groups * p.c, x_sizes, pool, &x)) return false;
      return gather<S>({true, depthwise, p.batch, groups, depthwise ? 1 : c, o, p.axis, x.strides, p.z, x.data, b, out}, pool);
    case Map::kForward:
      if (!stage(a, p.z, p.batch, p.groups * p.o, z_sizes, pool, &z)) return false;
      return gather<S>({false, depthwise, p.batch, groups, depthwise ? 1 : o, c, p.axis, z.strides, p.x, z.data, b, out}, pool);
    default:
      if (!stage(a, p.x, p.batch, p.groups * p.c, x_sizes, pool, &x)) return false;
      if (!stage(b, p.z, p.batch, p.groups * p.o, z_sizes, pool, &z)) return false;
      return KernelGradient<S>({p, x.strides, z.strides, x.data, z.data, out}, pool.threads()).run(pool);
  }
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
