// The product that all dense kernels are made of: a tile of MR rows by NV vectors, summed in registers.
#pragma once
#include "simd.h"

namespace jconvt::JCONVT_ISA {

// A part of a sum: `depth` terms a[m, k] * b[k, lane].
template <class A> struct Segment {
  const A *a, *b;
  int64_t depth;
};

// How the rows and the terms of a's are apart: one of the two strides is 1.
enum class Along { kDepth, kRows };

// The tiles with the most rows that the registers hold, for each number of vectors.
constexpr int kMaxVectors = kRegisters == 32 ? 4 : 3;
constexpr int kMaxRows[] = {0, kRegisters == 32 ? 14 : 12, kRegisters == 32 ? 12 : 6, kRegisters == 32 ? 8 : 4, 6};

// The number of vectors of the next tile where `left` vectors are left: no thin one at the end.
inline int vectors_of_tile(int64_t left) {
  if (left <= kMaxVectors) return static_cast<int>(left);
  return static_cast<int>(left < 2 * kMaxVectors ? (left + 1) / 2 : kMaxVectors);
}

// A sum for each row m and lane: of a[shift + m * stride + k] * b[k, lane], or of a[shift + m + k * stride] * b[k,
// lane].
template <class A> struct Product {
  const Segment<A> *segments;
  int64_t count;
  int64_t shift, stride;
  int64_t width;  // lanes of the result; b has whole vectors
  Sum<A> *out;
  int64_t out_row;
  bool accumulate;
};

template <class A, Along along, int MR, int NV> void multiply_tile(const Product<A> &p) {
  using T = Sum<A>;
  constexpr int L = kLanes<T>;
  Vector<T> sums[MR][NV] = {};
  const int64_t stride = p.stride;
  for (int64_t i = 0; i < p.count; ++i) {
    const A *a = p.segments[i].a + p.shift, *b = p.segments[i].b;
    for (int64_t k = p.segments[i].depth; k > 0; --k) {
      // The next rows, of which short ones begin before the CPU foresees them.
      if constexpr (along == Along::kDepth) __builtin_prefetch(a + (MR + (k & 15)) * stride);
      Vector<A> row[NV];
      for (int v = 0; v < NV; ++v) row[v] = load(b + v * L);
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        const A scalar = a[along == Along::kDepth ? m * stride : m];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) multiply_add(sums[m][v], scalar, row[v]);
      }
      a += along == Along::kDepth ? 1 : stride;
      b += NV * L;
    }
  }
  for (int m = 0; m < MR; ++m) {
    T *to = p.out + m * p.out_row;
    if (p.width == NV * L) {
      for (int v = 0; v < NV; ++v) store<T>(p.accumulate ? load(to + v * L) + sums[m][v] : sums[m][v], to + v * L);
    } else {
      alignas(kVectorBytes) T lanes[NV * L];
      for (int v = 0; v < NV; ++v) store<T>(sums[m][v], lanes + v * L);
      for (int64_t i = 0; i < p.width; ++i) to[i] = p.accumulate ? to[i] + lanes[i] : lanes[i];
    }
  }
}

template <class A, Along along, int NV, int MR = kMaxRows[NV]> void multiply_rows(Product<A> &p, int rows) {
  if (rows == MR) return multiply_tile<A, along, MR, NV>(p);
  if constexpr (MR > 1) multiply_rows<A, along, NV, MR - 1>(p, rows);
}

// Computes `rows` rows, in tiles of about the same size.
template <class A, Along along> void multiply(Product<A> p, int vectors, int64_t rows) {
  for (int64_t tiles = ceil_div(rows, kMaxRows[vectors]); tiles > 0; --tiles) {
    const int now = static_cast<int>(ceil_div(rows, tiles));
    switch (vectors) {
      case 1: multiply_rows<A, along, 1>(p, now); break;
      case 2: multiply_rows<A, along, 2>(p, now); break;
      case 3: multiply_rows<A, along, 3>(p, now); break;
      default:
        if constexpr (kMaxVectors == 4) multiply_rows<A, along, 4>(p, now);
    }
    rows -= now;
    p.shift += now * (along == Along::kDepth ? p.stride : 1);
    p.out += now * p.out_row;
  }
}

// The product of a depthwise convolution, lane by lane: a sum for each row m of
// a[shift + m * stride + k * a_step, first + lane] * b[k * b_step, first + lane].
template <class T> struct LaneProduct {
  const Segment<T> *segments;
  int64_t count;
  int64_t first, shift, stride, a_step, b_step;
  int64_t width;
  T *out;
  int64_t out_row;
};

// How many lanes a depthwise tile has: whole vectors, whole vectors of which the last two overlap, or a part of one.
enum class Lanes { kWhole, kOverlapping, kPart };

template <class T, Lanes lanes> inline Vector<T> load_lanes(const T *from, int64_t width) {
  if constexpr (lanes != Lanes::kPart) return load(from);
  Vector<T> part{};
  for (int64_t i = 0; i < width; ++i) part[i] = from[i];
  return part;
}

template <class T, int MR, int NV, Lanes lanes>
void multiply_lanes_of_tile(const LaneProduct<T> p) {  // a copy: the compiler knows that stores do not change it
  constexpr int L = kLanes<T>;
  const int64_t last = lanes == Lanes::kOverlapping ? p.width - L : (NV - 1) * L;  // lane of the last vector
  Vector<T> sums[MR][NV] = {};
  for (int64_t i = 0; i < p.count; ++i) {
    const T *a = p.segments[i].a + p.first + p.shift, *b = p.segments[i].b + p.first;
    for (int64_t k = p.segments[i].depth; k > 0; --k, a += p.a_step, b += p.b_step) {
      Vector<T> row[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) row[v] = load_lanes<T, lanes>(b + (v < NV - 1 ? v * L : last), p.width);
      const T *from = a;
#pragma GCC unroll 8
      for (int m = 0; m < MR; ++m, from += p.stride)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v)
          sums[m][v] += load_lanes<T, lanes>(from + (v < NV - 1 ? v * L : last), p.width) * row[v];
    }
  }
  T *to = p.out;
#pragma GCC unroll 8
  for (int m = 0; m < MR; ++m, to += p.out_row)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      if constexpr (lanes != Lanes::kPart) {
        store<T>(sums[m][v], to + (v < NV - 1 ? v * L : last));
      } else {
        for (int64_t i = 0; i < p.width; ++i) to[i] = sums[m][v][i];
      }
    }
}

template <class T, int NV, Lanes lanes, int MR> void multiply_lanes_of_rows(LaneProduct<T> &p, int64_t &rows) {
  for (; rows >= MR; rows -= MR, p.shift += MR * p.stride, p.out += MR * p.out_row)
    multiply_lanes_of_tile<T, MR, NV, lanes>(p);
  if constexpr (MR > 1) multiply_lanes_of_rows<T, NV, lanes, MR / 2>(p, rows);
}

template <class T, Lanes lanes> void multiply_whole_lanes(LaneProduct<T> &p, int64_t &rows) {
  constexpr int kRows = kRegisters == 32 ? 4 : 2;
  switch (ceil_div(p.width, kLanes<T>)) {
    case 1: return multiply_lanes_of_rows<T, 1, lanes, 2 * kRows>(p, rows);
    case 2: return multiply_lanes_of_rows<T, 2, lanes, 2 * kRows>(p, rows);
    case 3: return multiply_lanes_of_rows<T, 3, lanes, kRows>(p, rows);
    default:
      if constexpr (kMaxVectors == 4) multiply_lanes_of_rows<T, 4, lanes, kRows>(p, rows);
  }
}

template <class T> void multiply_lanes(LaneProduct<T> p, int64_t rows) {
  if (p.width < kLanes<T>) {
    multiply_lanes_of_rows<T, 1, Lanes::kPart, 4>(p, rows);
  } else if (p.width % kLanes<T>) {
    multiply_whole_lanes<T, Lanes::kOverlapping>(p, rows);
  } else {
    multiply_whole_lanes<T, Lanes::kWhole>(p, rows);
  }
}

}  // namespace jconvt::JCONVT_ISA
