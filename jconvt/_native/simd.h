// Vectors of one register, the numbers that they are made from, and the transposition of a square of registers.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "problem.h"
#if defined(__F16C__)
#include <immintrin.h>
#endif

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
template <class S> struct SumOf {
  using Type = float;
};
template <> struct SumOf<double> {
  using Type = double;
};
template <class S> using Sum = typename SumOf<S>::Type;

// Two neighbouring bfloat16 numbers, the first in the low half: what an instruction multiplies at once, where it
// exists.
using Pair = uint32_t;
#if defined(__AVX512BF16__)
constexpr bool kHasPairs = true;
#else
constexpr bool kHasPairs = false;
#endif

// The type of the terms of dense products: numbers of type S as pairs, or in the type of their sums.
template <class S> using Term = std::conditional_t<kHasPairs && std::is_same_v<S, Bfloat16>, Pair, Sum<S>>;
template <class A> using Number = std::conditional_t<std::is_same_v<A, Pair>, Bfloat16, A>;
template <class A> constexpr int kNumbers = std::is_same_v<A, Pair> ? 2 : 1;

template <class T> constexpr int kLanes = kVectorBytes / sizeof(T);

template <class T> struct VectorOf {
  typedef T Type __attribute__((vector_size(kVectorBytes)));
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};
template <class T> using Vector = typename VectorOf<T>::Type;

template <class N> inline N smaller(N a, N b) { return b < a ? b : a; }
template <class N> inline N larger(N a, N b) { return a < b ? b : a; }
template <class T> constexpr int64_t kSize = sizeof(T);
template <class Items> inline int64_t count(const Items &items) { return static_cast<int64_t>(items.size()); }
inline int64_t ceil_div(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
inline int64_t floor_div(int64_t a, int64_t b) { return -ceil_div(-a, b); }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

template <class T> inline T widen(T value) { return value; }
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

template <class T> inline Vector<T> load(const T *from) {
  return *reinterpret_cast<const typename VectorOf<T>::Unaligned *>(from);
}
template <class T> inline void store(Vector<T> value, T *to) {
  *reinterpret_cast<typename VectorOf<T>::Unaligned *>(to) = value;
}
typedef uint16_t Bits __attribute__((vector_size(kVectorBytes / 2)));
typedef Half Halves __attribute__((vector_size(kVectorBytes / 2)));
typedef uint32_t Wide __attribute__((vector_size(kVectorBytes)));
inline Vector<float> load(const Bfloat16 *from) {
  Bits bits;
  std::memcpy(&bits, from, sizeof bits);
  return reinterpret_cast<Vector<float>>(__builtin_convertvector(bits, Wide) << 16);
}
// Compilers convert vectors of float16 number by number, and GCC 12 warns of the functions without a mask.
inline Vector<float> load(const Float16 *from) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vector<float>>(
      _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from))));
#elif defined(__F16C__)
  return reinterpret_cast<Vector<float>>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from))));
#else
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  return __builtin_convertvector(halves, Vector<float>);
#endif
}

inline void store(Vector<float> value, Bfloat16 *to) {
  const Wide bits = reinterpret_cast<Wide>(value), rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const Bits narrow = __builtin_convertvector((value != value ? bits | 0x400000 : rounded) >> 16, Bits);
  std::memcpy(to, &narrow, sizeof narrow);
}
inline void store(Vector<float> value, Float16 *to) {
#if defined(__AVX512F__)
  const __m256i halves = _mm512_maskz_cvtps_ph(0xffff, reinterpret_cast<__m512>(value), _MM_FROUND_TO_NEAREST_INT);
#elif defined(__F16C__)
  const __m128i halves = _mm256_cvtps_ph(reinterpret_cast<__m256>(value), _MM_FROUND_TO_NEAREST_INT);
#else
  const Halves halves = __builtin_convertvector(value, Halves);
#endif
  std::memcpy(to, &halves, sizeof halves);
}

// sum += scalar * row. For pairs, the sum of both products, in which the CPU takes denormal bfloat16 numbers as 0.
template <class T> inline void multiply_add(Vector<T> &sum, T scalar, Vector<T> row) { sum += scalar * row; }
#if defined(__AVX512BF16__)
inline void multiply_add(Vector<float> &sum, Pair scalar, Vector<Pair> row) {
  const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(scalar)));
  sum = reinterpret_cast<Vector<float>>(
      _mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), both, reinterpret_cast<__m512bh>(row)));
}
#endif

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
template <class T> inline void transpose_square(Vector<T> (&r)[kLanes<T>]) {
  swap_blocks<T, kLanes<T> / 2>(r, std::make_integer_sequence<int, kLanes<T>>());
}

// to[j * to_row + i] = from[i * from_row + j], for i < rows and j < columns, in the type of terms.
template <class S, class T>
inline void transpose(const S *from, int64_t from_row, T *to, int64_t to_row, int64_t rows, int64_t columns) {
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
    for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j)
      to[j * to_row + i] = widen(from[i * from_row + j]);
}

// to[i] = from[i] in the type of sums, for i < count.
template <class S> inline void copy(const S *from, Sum<S> *to, int64_t count) {
  constexpr int L = kLanes<Sum<S>>;
  int64_t i = 0;
  for (; i + L <= count; i += L) store<Sum<S>>(load(from + i), to + i);
  for (; i < count; ++i) to[i] = widen(from[i]);
}

// to[j * to_row + i] = from[j * from_row + i], for j < rows and i < columns, in the type of terms.
template <class S>
inline void copy_rows(const S *from, int64_t from_row, Sum<S> *to, int64_t to_row, int64_t rows, int64_t columns) {
  for (int64_t j = 0; j < rows; ++j) copy(from + j * from_row, to + j * to_row, columns);
}

// The same for pairs of columns or rows. The partner of an odd one is 0 in both operands of a product: a number of the
// neighbour could be NaN.
inline void transpose(const Bfloat16 *from, int64_t from_row, Pair *to, int64_t to_row, int64_t rows, int64_t columns) {
  int64_t j = 0;
  if (from_row % 2 == 0 && reinterpret_cast<uintptr_t>(from) % sizeof(Pair) == 0) {
    j = columns / 2;
    transpose(reinterpret_cast<const Pair *>(from), from_row / 2, to, to_row, rows, j);
  }
  for (; 2 * j < columns; ++j)
    for (int64_t i = 0; i < rows; ++i) {
      const Bfloat16 *pair = from + i * from_row + 2 * j;
      to[j * to_row + i] = pair[0].bits | (2 * j + 1 < columns ? Pair{pair[1].bits} << 16 : 0);
    }
}
inline void copy_rows(const Bfloat16 *from, int64_t from_row, Pair *to, int64_t to_row, int64_t rows, int64_t columns) {
  for (; rows > 0; rows -= 2, from += 2 * from_row, to += to_row)
    for (int64_t i = 0; i < columns; ++i) to[i] = from[i].bits | (rows > 1 ? Pair{from[from_row + i].bits} << 16 : 0);
}
inline void copy(const Bfloat16 *from, Bfloat16 *to, int64_t count) { std::memcpy(to, from, count * sizeof(Bfloat16)); }

}  // namespace jconvt::JCONVT_ISA
