// Counts of what was drawn, to see that the draws reach everything.
#pragma once
#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#include "draws.h"

namespace check {

// What the draws were, and the most scratch memory of a large call in sizes of its kernel and of all its arrays.
struct Histogram {
  std::map<std::string, std::map<std::string, int64_t>> counts;
  double scratch_per_kernel = 0, scratch_per_arrays = 0;
  std::mutex mutex;

  void add(const Draw &d) {
    const std::lock_guard lock(mutex);
    const Problem &p = d.problem;
    const auto size = [](int64_t n) {
      return n == 1 ? "1" : n < 16 ? "2-15" : n < 64 ? "16-63" : n < 130 ? "64-129" : "130+";
    };
    ++counts["map"][std::string("TFG").substr(static_cast<int>(d.map), 1)];
    ++counts["dtype"][format(d.dtype).name];
    ++counts["rank"][std::to_string(d.rank)];
    ++counts["data"][d.data == Data::kIntegers ? "integers" : d.data == Data::kSpecial ? "NaN or inf" : "real"];
    ++counts["profile"][d.profile];
    ++counts["groups"][p.groups == 1 ? "1" : p.c == 1 && p.o == 1 ? "depthwise" : p.c == 1 ? "multiplier" : "more"];
    ++counts["c"][size(p.c)];
    ++counts["o"][size(p.o)];
    ++counts["batch"][size(p.batch)];
    ++counts["last x_size"][size(p.axis[2].x_size)];
    ++counts["taps"][size(taps(p))];
    const int64_t work = multiplications(p);
    ++counts["multiplications"][work < 10'000      ? "< 10k"
                                : work < 100'000   ? "< 100k"
                                : work < 1'000'000 ? "< 1M"
                                                   : "1M+"];
    for (int a = 3 - d.rank; a < 3; ++a) {
      const Axis &axis = p.axis[a];
      const int64_t stamp = (axis.kernel - 1) * axis.dilation + 1;
      const int64_t hi = (axis.x_size - 1) * axis.stride + stamp - axis.lo - axis.z_size;
      ++counts["axes: stride"][std::to_string(axis.stride)];
      ++counts["axes: dilation"][std::to_string(axis.dilation)];
      ++counts["axes: k - s"][axis.kernel < axis.stride ? "-" : axis.kernel == axis.stride ? "0" : "+"];
      ++counts["axes: lo"][axis.lo < 0 ? "-" : axis.lo == 0 ? "0" : axis.lo < stamp ? "+" : "beyond the stamp"];
      ++counts["axes: hi"][hi < 0 ? "-" : hi == 0 ? "0" : hi < stamp ? "+" : "beyond the stamp"];
    }
  }
  void add_scratch(const Draw &d, size_t scratch, size_t arrays) {
    const std::lock_guard lock(mutex);
    const double used = static_cast<double>(scratch),
                 kernel = static_cast<double>(size_w(d.problem) * format(d.dtype).bytes);
    scratch_per_kernel = std::max(scratch_per_kernel, used / kernel);
    scratch_per_arrays = std::max(scratch_per_arrays, used / static_cast<double>(arrays));
  }
  void print() const {
    for (const auto &[what, values] : counts) {
      std::printf("  %-16s", what.c_str());
      for (const auto &[value, count] : values) std::printf("  %s: %lld", value.c_str(), static_cast<long long>(count));
      std::printf("\n");
    }
    std::printf("  scratch memory of 1M multiplications or more: at most %.2f kernels, %.2f of all arrays\n",
                scratch_per_kernel, scratch_per_arrays);
  }
};

}  // namespace check
