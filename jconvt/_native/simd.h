// Vectors of one register, the numbers that they are made from, and the transposition of a square of registers.
#pragma once
#include <cstdint>
#include <cstring>
#include <utility>

#include "problem.h"

namespace jconvt::JCONVT_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRegisters = 32;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kRegisters = 32;
#else
constexpr int kVectorBytes = 16, kRegisters = 16;
#endif

#if defined(__aarch64__)
typedef __fp16 Half;
#else
typedef _Float16 Half;
#endif

// Numbers in half precision. Sums are in float.
struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  Half value;
};

// The type of sums of products of numbers of type S.
template <class S>
struct SumOf {
  using Type = float;
};
template <>
struct SumOf<double> {
  using Type = double;
};
template <class S>
using Sum = typename SumOf<S>::Type;

template <class T>
constexpr int kLanes = kVectorBytes / sizeof(T);

template <class T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(kVectorBytes)));
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::Type;

template <class N>
inline N smaller(N a, N b) {
  return b < a ? b : a;
}
template <class N>
inline N larger(N a, N b) {
  return a < b ? b : a;
}
inline int64_t ceil_div(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

inline float widen(float value) { return value; }
inline double widen(double value) { return value; }
inline float widen(Float16 value) { return static_cast<float>(value.value); }
inline float widen(Bfloat16 value) {
  const uint32_t bits = uint32_t{value.bits} << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

inline void narrow(float value, float *to) { *to = value; }
inline void narrow(double value, double *to) { *to = value; }
inline void narrow(float value, Float16 *to) { to->value = static_cast<Half>(value); }
inline void narrow(float value, Bfloat16 *to) {  // to the nearest, ties to even
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  to->bits = static_cast<uint16_t>((value != value ? bits | 0x400000 : rounded) >> 16);
}

template <class T>
inline Vector<T> load(const T *from) {
  return *reinterpret_cast<const typename VectorOf<T>::Unaligned *>(from);
}
template <class T>
inline void store(Vector<T> value, T *to) {
  *reinterpret_cast<typename VectorOf<T>::Unaligned *>(to) = value;
}
inline Vector<float> load(const Bfloat16 *from) {
  typedef uint16_t Bits __attribute__((vector_size(kVectorBytes / 2)));
  typedef uint32_t Wide __attribute__((vector_size(kVectorBytes)));
  Bits bits;
  std::memcpy(&bits, from, sizeof bits);
  return reinterpret_cast<Vector<float>>(__builtin_convertvector(bits, Wide) << 16);
}
inline Vector<float> load(const Float16 *from) {
  typedef Half Halves __attribute__((vector_size(kVectorBytes / 2)));
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  return __builtin_convertvector(halves, Vector<float>);
}

// Swaps blocks of H lanes with blocks of H registers, then those of half the size.
template <class T, int H, int... I>
inline void swap_blocks(Vector<T> (&r)[kLanes<T>], std::integer_sequence<int, I...> lanes) {
  constexpr int kSize = kLanes<T>;
  for (int i = 0; i < kSize; ++i) {
    if (i & H) continue;
    const Vector<T> low = r[i], high = r[i | H];
    r[i] = __builtin_shufflevector(low, high, (I & H ? kSize + (I & ~H) : I)...);
    r[i | H] = __builtin_shufflevector(low, high, (I & H ? kSize + I : I | H)...);
  }
  if constexpr (H > 1) swap_blocks<T, H / 2>(r, lanes);
}
template <class T>
inline void transpose_square(Vector<T> (&r)[kLanes<T>]) {
  swap_blocks<T, kLanes<T> / 2>(r, std::make_integer_sequence<int, kLanes<T>>());
}

// to[j * to_row + i] = from[i * from_row + j], for i < rows and j < columns, in the type of sums.
template <class S>
inline void transpose(const S *from, int64_t from_row, Sum<S> *to, int64_t to_row, int64_t rows, int64_t columns) {
  using T = Sum<S>;
  constexpr int L = kLanes<T>;
  const int64_t whole_rows = rows - rows % L, whole_columns = columns - columns % L;
  for (int64_t i = 0; i < whole_rows; i += L)
    for (int64_t j = 0; j < whole_columns; j += L) {
      Vector<T> square[L];
      for (int k = 0; k < L; ++k) square[k] = load(from + (i + k) * from_row + j);
      transpose_square<T>(square);
      for (int k = 0; k < L; ++k) store<T>(square[k], to + (j + k) * to_row + i);
    }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j) to[j * to_row + i] = widen(from[i * from_row + j]);
}

// to[i] = from[i] in the type of sums, for i < count.
template <class S>
inline void copy(const S *from, Sum<S> *to, int64_t count) {
  constexpr int L = kLanes<Sum<S>>;
  int64_t i = 0;
  for (; i + L <= count; i += L) store<Sum<S>>(load(from + i), to + i);
  for (; i < count; ++i) to[i] = widen(from[i]);
}

}  // namespace jconvt::JCONVT_ISA
