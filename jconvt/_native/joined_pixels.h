// G: the pixels of x and z that each tap joins, row by row.
#pragma once
#include "taps.h"

namespace jconvt::JCONVT_ISA {

// Taps along the last axis, from tap to tap + count, that join the same pixels of x. The first of them joins the first
// pixel of x with z's pixel first + step * pixels.begin.
struct TapSet {
  int64_t tap, count, first;
  Range pixels;
};

// Rows of x, and the pixels of each, that a task works on at once.
struct Chunk {
  Range rows, pixels;
};

// The first pixels of x and z that a tap joins in a row, the number of that row in its chunk.
template <class N> struct JoinedRow {
  const N *x, *z;
  int64_t row;
};

// x and z have numbers of type N and contiguous channels.
template <class N> class JoinedPixels {
 public:
  JoinedPixels(const Problem &p, const Strides &x_strides, const Strides &z_strides, const N *x, const N *z)
      : p_(p), x_strides_(x_strides), z_strides_(z_strides), x_(x), z_(z) {
    for (int i = 0; i < 3; ++i) {
      phases_[i] = forward_phase(p.axis[i]);
      taps_[i].resize(p.axis[i].kernel);
      for (const Tap &tap : phases_[i].taps) taps_[i][tap.tap] = &tap;
    }
  }
  JoinedPixels(const JoinedPixels &) = delete;
  JoinedPixels &operator=(const JoinedPixels &) = delete;

  int64_t row_size() const { return phases_[2].count; }
  int64_t rows() const { return p_.batch * phases_[0].count * phases_[1].count; }
  int64_t x_step() const { return x_strides_.axis[2]; }
  int64_t z_step() const { return phases_[2].step_in * z_strides_.axis[2]; }

  // A set for each tap, also for one that joins no pixels; or one for each range of pixels with the same taps.
  std::vector<TapSet> tap_sets(bool joined) const {
    std::vector<TapSet> sets;
    if (!joined) {
      for (int64_t t = 0; t < p_.axis[2].kernel; ++t) {
        const Tap *tap = taps_[2][t];
        sets.push_back({t, 1, tap ? tap->first : 0, tap ? tap->outputs : Range{0, 0}});
      }
      return sets;
    }
    for (const Range piece : phases_[2].pieces) {
      TapSet set{0, 0, 0, piece};
      for (const Tap &tap : phases_[2].taps)
        if (tap.outputs.contains(piece.begin)) {
          if (set.count == 0) set = {tap.tap, 0, tap.first, piece};
          ++set.count;
        }
      if (set.count) sets.push_back(set);
    }
    return sets;
  }

  // The first pixel of a row of x.
  const N *x_at(int64_t row, int64_t group) const {
    const int64_t i1 = row % phases_[1].count, i0 = row / phases_[1].count % phases_[0].count;
    const int64_t n = row / (phases_[1].count * phases_[0].count);
    return x_ + n * x_strides_.batch + i0 * x_strides_.axis[0] + i1 * x_strides_.axis[1] + group * p_.c;
  }

  // What the taps of a set join in a chunk, for a tap of the leading axes.
  void join(const Chunk &chunk, int64_t tap01, const TapSet &set, int64_t group,
            std::vector<JoinedRow<N>> &found) const {
    found.clear();
    const Tap *tap0 = taps_[0][tap01 / p_.axis[1].kernel], *tap1 = taps_[1][tap01 % p_.axis[1].kernel];
    const Range pixels = set.pixels & chunk.pixels;
    if (!tap0 || !tap1 || pixels.size() <= 0) return;
    for (int64_t row = chunk.rows.begin; row < chunk.rows.end; ++row) {
      const int64_t i1 = row % phases_[1].count, i0 = row / phases_[1].count % phases_[0].count;
      const int64_t n = row / (phases_[1].count * phases_[0].count);
      if (!tap0->outputs.contains(i0) || !tap1->outputs.contains(i1)) continue;
      const N *z = z_ + n * z_strides_.batch + (tap0->first + phases_[0].step_in * i0) * z_strides_.axis[0] +
                   (tap1->first + phases_[1].step_in * i1) * z_strides_.axis[1] +
                   (set.first + phases_[2].step_in * pixels.begin) * z_strides_.axis[2] + group * p_.o;
      found.push_back({x_at(row, group) + pixels.begin * x_step(), z, row - chunk.rows.begin});
    }
  }

 private:
  const Problem p_;
  const Strides x_strides_, z_strides_;
  const N *x_, *z_;
  Phase phases_[3];
  std::vector<const Tap *> taps_[3];  // nullptr for a tap that joins no pixels
};

}  // namespace jconvt::JCONVT_ISA
