// The product that all dense kernels are made of: a tile of MR rows by NV vectors, summed in registers.
#pragma once
#include "simd.h"

namespace jconvt::JCONVT_ISA {

// A part of a sum: `depth` terms a[m, k] * b[k, lane].
template <class T>
struct Segment {
  const T *a, *b;
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

// A sum for each row m and lane: of a[shift + m * stride + k] * b[k, lane], or of a[shift + m + k * stride] * b[k, lane].
template <class T>
struct Product {
  const Segment<T> *segments;
  int64_t count;
  int64_t shift, stride;
  int64_t width;  // lanes of the result; b has whole vectors
  T *out;
  int64_t out_row;
  bool accumulate;
};

template <class T, Along along, int MR, int NV>
void multiply_tile(const Product<T> &p) {
  constexpr int L = kLanes<T>;
  Vector<T> sums[MR][NV] = {};
  const int64_t stride = p.stride;
  for (int64_t i = 0; i < p.count; ++i) {
    const T *a = p.segments[i].a + p.shift, *b = p.segments[i].b;
    for (int64_t k = p.segments[i].depth; k > 0; --k) {
      Vector<T> row[NV];
      for (int v = 0; v < NV; ++v) row[v] = load(b + v * L);
#pragma GCC unroll 16
      for (int m = 0; m < MR; ++m) {
        const T scalar = a[along == Along::kDepth ? m * stride : m];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) sums[m][v] += scalar * row[v];
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

template <class T, Along along, int NV, int MR = kMaxRows[NV]>
void multiply_rows(Product<T> &p, int rows) {
  if (rows == MR) return multiply_tile<T, along, MR, NV>(p);
  if constexpr (MR > 1) multiply_rows<T, along, NV, MR - 1>(p, rows);
}

// Computes `rows` rows, in tiles of about the same size.
template <class T, Along along>
void multiply(Product<T> p, int vectors, int64_t rows) {
  for (int64_t tiles = ceil_div(rows, kMaxRows[vectors]); tiles > 0; --tiles) {
    const int now = static_cast<int>(ceil_div(rows, tiles));
    switch (vectors) {
      case 1: multiply_rows<T, along, 1>(p, now); break;
      case 2: multiply_rows<T, along, 2>(p, now); break;
      case 3: multiply_rows<T, along, 3>(p, now); break;
      default:
        if constexpr (kMaxVectors == 4) multiply_rows<T, along, 4>(p, now);
    }
    rows -= now;
    p.shift += now * (along == Along::kDepth ? p.stride : 1);
    p.out += now * p.out_row;
  }
}

}  // namespace jconvt::JCONVT_ISA
