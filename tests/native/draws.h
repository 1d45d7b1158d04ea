// Random problems: mostly small, with sizes at the edges of vectors and tiles, and some large enough for several tiles.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "definition.h"
#include "numbers.h"

namespace check {

enum class Data { kIntegers, kSpecial, kReal };

struct Draw {
  Problem problem;
  Map map;
  Dtype dtype;
  int rank;
  const char *profile;
  Data data;
  int64_t terms;  // at most, of one output
};

inline int64_t taps(const Problem &p) { return p.axis[0].kernel * p.axis[1].kernel * p.axis[2].kernel; }
inline int64_t x_pixels(const Problem &p) { return p.axis[0].x_size * p.axis[1].x_size * p.axis[2].x_size; }
inline int64_t z_pixels(const Problem &p) { return p.axis[0].z_size * p.axis[1].z_size * p.axis[2].z_size; }
inline int64_t size_x(const Problem &p) { return p.batch * p.groups * p.c * x_pixels(p); }
inline int64_t size_z(const Problem &p) { return p.batch * p.groups * p.o * z_pixels(p); }
inline int64_t size_w(const Problem &p) { return taps(p) * p.o * p.groups * p.c; }
inline int64_t multiplications(const Problem &p) { return p.batch * p.groups * p.c * p.o * taps(p) * x_pixels(p); }

inline int64_t draw_channels(Random &random) {
  if (random.chance(0.7))
    return random.one_of({1, 1, 2, 3, 4, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65});
  return random.between(1, 70);
}

inline Axis draw_axis(Random &random, int64_t x_limit) {
  Axis axis;
  axis.kernel = random.chance(0.3) ? random.between(1, 3) : random.between(1, 7);
  axis.stride = random.chance(0.6) ? random.between(1, 2) : random.between(1, 5);
  axis.dilation = random.chance(0.7) ? 1 : random.between(2, 4);
  axis.x_size = random.chance(0.2) ? random.between(1, 3) : random.between(1, x_limit);
  return axis;
}

// Crops follow the final sizes: any canvas, cropped or widened at either end, also beyond the first and the last stamp.
inline void draw_crop(Random &random, Axis &axis) {
  const int64_t stamp = (axis.kernel - 1) * axis.dilation + 1;
  const int64_t full = (axis.x_size - 1) * axis.stride + stamp;
  const auto crop = [&] {
    if (random.chance(0.5)) return std::max<int64_t>(0, stamp - axis.stride) / 2;
    return random.chance(0.9) ? random.between(-3, stamp + 1) : random.between(-2 * stamp, full);
  };
  axis.lo = crop();
  const int64_t wanted = full - axis.lo - crop() + (random.chance(0.5) ? random.between(0, axis.stride - 1) : 0);
  axis.z_size = wanted >= 1 ? wanted : random.between(1, stamp + axis.stride);
}

// Halves random sizes until the problem has at most so many multiplications. Sizes in `keep` are halved last.
inline void shrink(Random &random, Problem &p, int64_t budget, std::vector<int64_t *> keep) {
  std::vector<int64_t *> sizes = {&p.batch, &p.groups, &p.c, &p.o};
  for (Axis &axis : p.axis) sizes.insert(sizes.end(), {&axis.x_size, &axis.x_size, &axis.kernel});
  while (multiplications(p) > budget) {
    std::vector<int64_t *> candidates;
    for (int64_t *size : sizes)
      if (*size > 1 && std::find(keep.begin(), keep.end(), size) == keep.end()) candidates.push_back(size);
    if (candidates.empty()) {
      keep.clear();
      continue;
    }
    int64_t &size = *candidates[random.between(0, static_cast<int64_t>(candidates.size()) - 1)];
    size = random.chance(0.5) ? size / 2 : (size + 1) / 2;
  }
}

inline Draw draw(Random &random) {
  Draw d = {};
  Problem &p = d.problem;
  d.map = static_cast<Map>(random.between(0, 2));
  d.dtype = static_cast<Dtype>(random.one_of({0, 0, 0, 0, 1, 2, 2, 3, 3}));
  d.rank = static_cast<int>(random.one_of({1, 2, 2, 2, 3}));
  d.data = random.chance(0.75) ? Data::kIntegers : random.chance(0.5) ? Data::kSpecial : Data::kReal;
  p.batch = random.chance(0.07) ? random.between(16, 33) : random.between(1, random.one_of({1, 3, 6}));
  p.groups = random.chance(0.7) ? 1 : random.between(2, 4);
  p.c = draw_channels(random);
  p.o = draw_channels(random);
  if (random.chance(0.15)) {  // depthwise, with a multiplier
    p.groups = p.c * p.groups;
    p.c = 1;
    p.o = random.chance(0.6) ? 1 : random.between(2, 4);
  }
  const int64_t x_limit = random.one_of({4, 12, 40}) * (d.rank == 1 ? 4 : 1);
  for (int a = 0; a < 3; ++a) p.axis[a] = a < 3 - d.rank ? Axis{1, 1, 1, 0, 1, 1} : draw_axis(random, x_limit);

  Axis &rows = p.axis[3 - d.rank], &last = p.axis[2];
  std::vector<int64_t *> keep;
  int64_t budget = random.one_of({5'000, 50'000, 300'000});
  d.profile = budget == 5'000 ? "tiny" : budget == 50'000 ? "small" : "medium";
  if (random.chance(0.1)) {
    budget = random.chance(0.2) ? 16'000'000 : 4'000'000;
    switch (random.between(0, 5)) {
      case 0:
        d.profile = "wide channels";
        p.groups = random.chance(0.8) ? 1 : 2;
        if (random.chance(0.7)) keep.push_back(&(p.c = random.between(130, 600)));
        if (keep.empty() || random.chance(0.5)) keep.push_back(&(p.o = random.between(130, 600)));
        break;
      case 1:
        d.profile = "many rows";
        keep.push_back(&(rows.x_size = random.between(30, 200)));
        break;
      case 2:
        d.profile = "long rows";
        keep.push_back(&(last.x_size = random.between(60, 2000)));
        break;
      case 3:
        d.profile = "many taps";
        keep.push_back(&(last.kernel = random.between(8, d.rank == 1 ? 40 : 11)));
        keep.push_back(&(rows.kernel = random.between(5, d.rank == 1 ? 40 : 9)));
        break;
      case 4:
        d.profile = "large batch, short rows";
        keep.push_back(&(p.batch = random.between(16, 130)));
        keep.push_back(&(last.x_size = random.between(1, 5)));
        break;
      default:
        d.profile = "large";
        p.c = std::max<int64_t>(p.c, 16);
        p.o = std::max<int64_t>(p.o, 16);
        if (p.groups > 8) p.groups = 2;
        keep = {&p.c, &p.o};
    }
  }
  shrink(random, p, budget, keep);
  for (int a = 3 - d.rank; a < 3; ++a) draw_crop(random, p.axis[a]);
  d.terms = d.map == Map::kTranspose ? p.c * taps(p) : d.map == Map::kForward ? p.o * taps(p) : p.batch * x_pixels(p);
  return d;
}

// Integers so small that sums of products are exact in float32, or in float64; in float16 times powers of two, so that
// some results have no normal number; or real numbers between -1 and 1. Special: some are infinite or NaN.
inline void draw_operands(Random &random, const Draw &d, Doubles &a, Doubles &b) {
  const bool wide = d.dtype == Dtype::kFloat64, narrow = d.dtype == Dtype::kFloat16,
             small = narrow && random.chance(0.6);
  // In float16 few sums that are not `small` are beyond the largest number.
  const double exact = std::ldexp(1.0, wide ? 52 : narrow && !small ? 18 : 23);
  const double most = std::ldexp(1.0, format(d.dtype).digits + (wide ? -26 : 1));
  const auto limit =
      std::max<int64_t>(1, static_cast<int64_t>(std::min(most, std::sqrt(exact / static_cast<double>(d.terms)))));
  for (Doubles *each : {&a, &b}) {
    const double unit = small ? std::ldexp(1.0, -static_cast<int>(random.between(4, 16))) : 1;
    for (double &value : *each) {
      if (d.data == Data::kReal)
        value = rounded(2 * random.uniform() - 1, d.dtype);
      else
        value = static_cast<double>(random.between(-limit, limit)) * unit;
    }
  }
  if (d.data != Data::kSpecial) return;
  for (int64_t count = random.between(1, 4); count; --count) {
    Doubles &to = random.chance(0.5) ? a : b;
    to[random.between(0, static_cast<int64_t>(to.size()) - 1)] = random.chance(0.5)   ? NAN
                                                                 : random.chance(0.5) ? INFINITY
                                                                                      : -INFINITY;
  }
}

inline std::string describe(const Draw &d) {
  const Problem &p = d.problem;
  std::string text = std::string("TFG").substr(static_cast<int>(d.map), 1) + " " + format(d.dtype).name;
  text += d.data == Data::kIntegers ? ", integers" : d.data == Data::kSpecial ? ", NaN or inf" : ", real numbers";
  text += std::string(", ") + d.profile + ": batch " + std::to_string(p.batch) + ", groups " + std::to_string(p.groups);
  text += ", c " + std::to_string(p.c) + ", o " + std::to_string(p.o);
  for (int a = 3 - d.rank; a < 3; ++a) {
    const Axis &axis = p.axis[a];
    text += ", {k " + std::to_string(axis.kernel) + " s " + std::to_string(axis.stride) + " d " +
            std::to_string(axis.dilation);
    text += " lo " + std::to_string(axis.lo) + " x " + std::to_string(axis.x_size) + " z " +
            std::to_string(axis.z_size) + "}";
  }
  return text;
}

}  // namespace check
