// Random numbers, and the four number formats in double: written apart from the kernels, to hold them to account.
#pragma once
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>

#include "problem.h"

namespace check {

using jconvt::Dtype;

// The same numbers on every machine, unlike the distributions of <random>.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t bits() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  int64_t between(int64_t low, int64_t high) { return low + static_cast<int64_t>(bits() % (high - low + 1)); }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  bool chance(double probability) { return uniform() < probability; }
  int64_t one_of(std::initializer_list<int64_t> values) {
    return values.begin()[between(0, static_cast<int64_t>(values.size()) - 1)];
  }

 private:
  uint64_t state_;
};

// The explicit bits of a significand, the exponents of the least and the largest normal number, and the bytes.
struct Format {
  const char *name;
  int digits, lowest, highest, bytes;
};

inline const Format &format(Dtype dtype) {
  static const Format formats[] = {{"float32", 23, -126, 127, 4},
                                   {"float64", 52, -1022, 1023, 8},
                                   {"bfloat16", 7, -126, 127, 2},
                                   {"float16", 10, -14, 15, 2}};
  return formats[static_cast<int>(dtype)];
}

// The number of that format nearest to a value, and the even one of two. Float64 keeps what it is.
inline double rounded(double value, Dtype dtype) {
  const Format &f = format(dtype);
  if (dtype == Dtype::kFloat64 || value == 0 || !std::isfinite(value)) return value;
  const double step = std::ldexp(1.0, std::max(std::ilogb(value), f.lowest) - f.digits);
  const double result = std::nearbyint(value / step) * step;
  const double beyond = std::ldexp(1.0, f.highest + 1);
  return std::abs(result) < beyond ? result : std::copysign(std::numeric_limits<double>::infinity(), value);
}

inline double load(const std::byte *from, Dtype dtype) {
  const Format &f = format(dtype);
  if (dtype == Dtype::kFloat64) {
    double value;
    std::memcpy(&value, from, 8);
    return value;
  }
  uint32_t bits = 0;
  std::memcpy(&bits, from, f.bytes);
  const int width = 8 * f.bytes - 1;
  const uint32_t significand = bits & ((1u << f.digits) - 1);
  const int biased = static_cast<int>((bits & ((1u << width) - 1)) >> f.digits);
  const double sign = bits >> width ? -1 : 1;
  if (biased == f.highest - f.lowest + 2) return significand ? NAN : sign * INFINITY;
  const uint32_t implied = biased ? 1u << f.digits : 0;
  return sign * std::ldexp(significand | implied, std::max(biased, 1) - 1 + f.lowest - f.digits);
}

// Writes a value that the format holds exactly. A NaN has all bits set, so that it overflows where it is rounded like a
// number.
inline void store(double value, std::byte *to, Dtype dtype) {
  const Format &f = format(dtype);
  if (dtype == Dtype::kFloat64) {
    std::memcpy(to, &value, 8);
    return;
  }
  const double magnitude = std::abs(value);
  uint32_t bits;
  if (std::isnan(value)) {
    bits = static_cast<uint32_t>(f.highest - f.lowest + 2) << f.digits | ((1u << f.digits) - 1);
  } else if (std::isinf(value)) {
    bits = static_cast<uint32_t>(f.highest - f.lowest + 2) << f.digits;
  } else {
    const int exponent = magnitude == 0 ? f.lowest : std::max(std::ilogb(magnitude), f.lowest);
    // The implied leading bit of a normal number adds one to the biased exponent.
    bits = static_cast<uint32_t>(exponent - f.lowest) << f.digits;
    bits += static_cast<uint32_t>(std::ldexp(magnitude, f.digits - exponent));
  }
  if (std::signbit(value)) bits |= 1u << (8 * f.bytes - 1);
  std::memcpy(to, &bits, f.bytes);
}

// How far a sum of that many terms of float32, or float64, may be from the exact one, where the terms' magnitudes add
// up to `magnitudes`. Factor 2: the exact sum of float64 is rounded, too.
inline double tolerance(double sum, double magnitudes, double terms, Dtype dtype) {
  const double unit = dtype == Dtype::kFloat64 ? 0x1p-52 : 0x1p-23;
  const Format &f = format(dtype);
  const double last = f.bytes == 2 ? std::ldexp(1.0, std::max(std::ilogb(sum), f.lowest) - f.digits - 1) : 0;
  return (terms + 2) * unit * magnitudes + last * 1.001 + std::ldexp(1.0, f.lowest);
}

}  // namespace check
