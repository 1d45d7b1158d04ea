// T and F of few output channels: the taps of a row of the kernel and the output channels share the lanes of a vector.
//
// Each input pixel of a row gives the sums of a whole row of taps, which are then added where the stamp is. F with
// stride 1 along the last axis is a T with the taps in reverse.
#pragma once
#include "gather.h"

namespace jconvt::JCONVT_ISA {

template <class S, class A> class StampGather {
  using T = Sum<S>;
  static constexpr int64_t kRowsAtOnce = 32, kOutputsAtOnce = 512;

 public:
  explicit StampGather(const Gather<S, A> &gather) : g_(gather), last_(g_.axis[2]), lanes_(last_.kernel * g_.width) {
    for (int i = 0; i < 2; ++i) phases_[i] = phases_of(g_.axis[i], g_.transposed);
    tiles_ = tiles_of<T>(lanes_);
    matrix_ = g_.depth() * round_up(lanes_, kLanes<T>);
    for (int i = 0; i < 3; ++i) sizes_[i] = g_.transposed ? g_.axis[i].z_size : g_.axis[i].x_size;
    in_size_ = g_.transposed ? last_.x_size : last_.z_size;
    lo_ = g_.transposed ? last_.lo : (last_.kernel - 1) * last_.dilation - last_.lo;
    block_ = smaller(sizes_[2], larger(kOutputsAtOnce, 8 * last_.kernel * last_.dilation));
    blocks_ = ceil_div(sizes_[2], block_);
    thread_bytes_ = round_up(block_ * g_.width * kSize<T>, 64) + kRowsAtOnce * kMaxVectors * kVectorBytes;
  }

  // Whether this is faster than DenseGather: the lanes that it leaves empty, and the additions, against that one's
  // lanes.
  static bool suits(const Gather<S, A> &g) {
    const Axis &last = g.axis[2];
    if (last.dilation > 1 || (!g.transposed && last.stride > 1)) return false;
    const int64_t taps = g.axis[0].kernel * g.axis[1].kernel / (g.transposed ? g.axis[0].stride * g.axis[1].stride : 1);
    const double additions = 12.0 / static_cast<double>(larger<int64_t>(1, taps) * g.channels);
    return (1 + additions) * static_cast<double>(round_up(last.kernel * g.width, kLanes<T>)) <
           static_cast<double>(last.kernel * round_up(g.width, kLanes<T>));
  }

  void run(Pool &pool) {
    const int64_t taps01 = g_.axis[0].kernel * g_.axis[1].kernel;
    panels_ = static_cast<A *>(pool.scratch(g_.groups * taps01 * matrix_ * kSize<A>));
    scratch_ = static_cast<char *>(pool.scratch(thread_bytes_ * pool.threads()));
    run_tasks<&StampGather::pack>(pool, g_.groups * taps01, this);
    run_tasks<&StampGather::block>(pool, g_.batch * g_.groups * sizes_[0] * sizes_[1] * blocks_, this);
  }

 private:
  // The matrices of a row of taps, next to each other: a panel for each tile of lanes.
  void pack(int64_t task, int) const {
    const int64_t taps01 = g_.axis[0].kernel * g_.axis[1].kernel, group = task / taps01,
                  first_tap = task % taps01 * last_.kernel;
    A *panel = panels_ + task * matrix_;
    for (const Range &tile : tiles_) {
      const int64_t padded = round_up(tile.size(), kLanes<T>);
      for (int64_t k = 0; k < g_.depth(); ++k)
        for (int64_t lane = tile.size(); lane < padded; ++lane) panel[k * padded + lane] = 0;
      if (g_.transposed) {
        transpose(g_.w_at(first_tap, group, 0) + tile.begin * g_.w_row(), g_.w_row(), panel, padded, tile.size(),
                  g_.channels);
      } else {
        for (int64_t lane = tile.begin; lane < tile.end; ++lane) {
          const S *w = g_.w_at(first_tap + last_.kernel - 1 - lane / g_.width, group, lane % g_.width);
          copy_rows(w, g_.w_row(), panel + lane - tile.begin, padded, g_.channels, 1);
        }
      }
      panel += g_.depth() * padded;
    }
  }

  // A part of a row of the output.
  void block(int64_t task, int thread) const {
    const Range outputs{task % blocks_ * block_, smaller(sizes_[2], (task % blocks_ + 1) * block_)};
    task /= blocks_;
    const int64_t at1 = task % sizes_[1], at0 = task / sizes_[1] % sizes_[0];
    task /= sizes_[1] * sizes_[0];
    const int64_t group = task % g_.groups, n = task / g_.groups;
    T *sums = reinterpret_cast<T *>(scratch_ + thread * thread_bytes_);
    T *stamps =
        reinterpret_cast<T *>(scratch_ + (thread + 1) * thread_bytes_ - kRowsAtOnce * kMaxVectors * kVectorBytes);
    for (int64_t i = 0; i < outputs.size() * g_.width; ++i) sums[i] = 0;

    // The input pixels whose stamps reach the outputs: i * stride + t - lo, for t below kernel.
    const int64_t stride = g_.transposed ? last_.stride : 1, position = lo_ + outputs.begin;
    const Range inputs{larger<int64_t>(0, ceil_div(position - last_.kernel + 1, stride)),
                       smaller(in_size_, ceil_div(lo_ + outputs.end, stride))};
    const A *in = g_.in + n * g_.in_strides.batch + group * g_.depth();
    const int64_t taps01 = g_.axis[0].kernel * g_.axis[1].kernel;
    std::vector<Segment<A>> segments;
    int64_t before = 0;  // numbers of the tiles before this one
    for (const Range &tile : tiles_) {
      const int64_t padded = round_up(tile.size(), kLanes<T>);
      segments.clear();
      const Phase &phase0 = phase_of(0, at0), &phase1 = phase_of(1, at1);
      for (const Tap &tap0 : phase0.taps)
        for (const Tap &tap1 : phase1.taps) {
          const int64_t q0 = at0 / phase0.step, q1 = at1 / phase1.step;
          if (!tap0.outputs.contains(q0) || !tap1.outputs.contains(q1)) continue;
          segments.push_back({in + (tap0.first + phase0.step_in * q0) * g_.in_strides.axis[0] +
                                  (tap1.first + phase1.step_in * q1) * g_.in_strides.axis[1],
                              panels_ + (group * taps01 + tap0.tap * g_.axis[1].kernel + tap1.tap) * matrix_ + before,
                              g_.depth()});
        }
      before += g_.depth() * padded;
      if (segments.empty()) continue;
      for (int64_t first = inputs.begin; first < inputs.end; first += kRowsAtOnce) {
        const int64_t rows = smaller(kRowsAtOnce, inputs.end - first);
        multiply<A, Along::kDepth>({segments.data(), count(segments), first * g_.in_strides.axis[2],
                                    g_.in_strides.axis[2], padded, stamps, padded, false},
                                   static_cast<int>(padded / kLanes<T>), rows);
        for (int64_t row = 0; row < rows; ++row) {
          const int64_t at = ((first + row) * stride - position) * g_.width + tile.begin;
          const int64_t end = smaller(tile.size(), outputs.size() * g_.width - at);
          for (int64_t lane = larger<int64_t>(0, -at); lane < end; ++lane)
            sums[at + lane] += stamps[row * padded + lane];
        }
      }
    }
    S *out = g_.out + n * g_.out_strides.batch + at0 * g_.out_strides.axis[0] + at1 * g_.out_strides.axis[1] +
             outputs.begin * g_.out_strides.axis[2] + group * g_.width;
    write_rows<S>(sums, outputs.size(), g_.width, g_.width, out, g_.out_strides.axis[2]);
  }

  const Phase &phase_of(int axis, int64_t at) const { return phases_[axis][at % phases_[axis][0].step]; }

  const Gather<S, A> g_;
  const Axis &last_;
  const int64_t lanes_;           // taps along the last axis times channels
  std::vector<Phase> phases_[2];  // of the leading axes
  std::vector<Range> tiles_;
  int64_t sizes_[3], in_size_, lo_, block_, blocks_, matrix_, thread_bytes_;
  A *panels_ = nullptr;
  char *scratch_ = nullptr;
};

}  // namespace jconvt::JCONVT_ISA
