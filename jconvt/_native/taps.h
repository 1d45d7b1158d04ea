// Along one axis: which outputs of T and F sum over the same taps, and which inputs they read.
#pragma once
#include <vector>

#include "tile.h"

namespace jconvt::JCONVT_ISA {

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
  bool contains(int64_t i) const { return begin <= i && i < end; }
};
inline Range operator&(Range a, Range b) { return {larger(a.begin, b.begin), smaller(a.end, b.end)}; }

// Ranges of lanes that tiles compute.
template <class T> std::vector<Range> tiles_of(int64_t lanes) {
  std::vector<Range> tiles;
  for (int64_t left = ceil_div(lanes, kLanes<T>), begin = 0; left > 0;) {
    const int vectors = vectors_of_tile(left);
    tiles.push_back({begin, smaller(lanes, begin + vectors * kLanes<T>)});
    begin += vectors * kLanes<T>;
    left -= vectors;
  }
  return tiles;
}

// A tap reads the input first + step_in * q for the outputs q of a range.
struct Tap {
  int64_t tap, first;
  Range outputs;
};

// The outputs start + step * q, for q < count: all of F, or those of one phase of T. Taps are in the order of their
// inputs.
struct Phase {
  int64_t start, step, count, step_in;
  std::vector<Tap> taps{};
  std::vector<Range> pieces{};  // ranges of q that have one set of taps each, in order

  // Call it once, after the last tap. The later a tap's input, the earlier its outputs begin and end.
  void find_pieces() {
    size_t begins = taps.size(), ends = taps.size();
    for (int64_t at = 0, next; at < count; at = next) {
      while (begins > 0 && taps[begins - 1].outputs.begin <= at) --begins;
      while (ends > 0 && taps[ends - 1].outputs.end <= at) --ends;
      next = begins > 0 ? smaller(count, taps[begins - 1].outputs.begin) : count;
      if (ends > 0) next = smaller(next, taps[ends - 1].outputs.end);
      pieces.push_back({at, next});
    }
  }
};

inline Phase forward_phase(const Axis &a) {
  Phase all{0, 1, a.x_size, a.stride};
  for (int64_t t = 0; t < a.kernel; ++t) {
    const int64_t first = t * a.dilation - a.lo;
    const Range outputs{larger<int64_t>(0, ceil_div(-first, a.stride)),
                        smaller(a.x_size, ceil_div(a.z_size - first, a.stride))};
    if (outputs.begin < outputs.end) all.taps.push_back({t, first, outputs});
  }
  all.find_pieces();
  return all;
}

inline std::vector<Phase> transpose_phases(const Axis &a) {
  std::vector<Phase> phases;
  phases.reserve(smaller(a.stride, a.z_size));
  for (int64_t start = 0; start < smaller(a.stride, a.z_size); ++start)
    phases.push_back({start, a.stride, ceil_div(a.z_size - start, a.stride), 1});
  for (int64_t t = a.kernel - 1; t >= 0; --t) {
    const int64_t on_canvas = t * a.dilation - a.lo, start = on_canvas - floor_div(on_canvas, a.stride) * a.stride;
    if (start >= count(phases)) continue;
    const int64_t first = (start - on_canvas) / a.stride;
    const Range outputs{larger<int64_t>(0, -first), smaller(phases[start].count, a.x_size - first)};
    if (outputs.begin < outputs.end) phases[start].taps.push_back({t, first, outputs});
  }
  for (Phase &phase : phases) phase.find_pieces();
  return phases;
}

inline std::vector<Phase> phases_of(const Axis &a, bool transposed) {
  return transposed ? transpose_phases(a) : std::vector<Phase>{forward_phase(a)};
}

}  // namespace jconvt::JCONVT_ISA
