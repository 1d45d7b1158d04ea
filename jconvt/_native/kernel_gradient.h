// G: each tap's matrix sums, over the pixels that the tap joins, the outer product of a pixel of z and one of x.
//
// A product gives sums for the lanes of some vectors and for some rows. These are
//   channels of x and channels of z, one tap at a time;
//   channels of x, and channels of z for several taps, if z has few channels;
//   channels of z for several taps, and channels of x, if x has few channels;
//   channels of both, and several taps, in a depthwise layer.
#pragma once
#include "joined_pixels.h"
#include "pool.h"
#include "tile.h"

namespace jconvt::JCONVT_ISA {

// Results of type S, in the order (taps..., o, groups * c). The terms of type A are pixels, or pairs of pixels that a
// tap joins.
template <class S, class A> class KernelGradient {
  using T = Sum<S>;
  using N = Number<A>;
  // What is packed at once: pixels, and bytes of x and z. They stay in the second and third cache while taps pass.
  static constexpr int64_t kPixelsAtOnce = 1024, kXBytes = 1 << 20, kZBytes = 1 << 19;
  static constexpr int64_t kMaxTaps = 16, kProductBytes = kMaxVectors * kVectorBytes * kMaxTaps, kTasks = 8;

 public:
  // A depthwise problem has one group, of as many channels as there are.
  KernelGradient(const Problem &problem, bool depthwise, const Strides &x_strides, const Strides &z_strides, const N *x,
                 const N *z, S *w, int threads)
      : p_(problem), depthwise_(depthwise), w_(w), pixels_(problem, x_strides, z_strides, x, z) {
    z_tap_ = p_.axis[2].dilation * z_strides.axis[2];
    // Where the channels of z follow each other from tap to tap, several taps are one product.
    const bool contiguous = p_.groups == 1 && p_.axis[2].dilation == 1;
    const int64_t numbers = p_.o * (contiguous ? p_.axis[2].kernel : 1);  // that follow each other
    lanes_from_z_ = !depthwise_ && 4 * p_.c < 3 * kLanes<T> && numbers > p_.c && numbers >= kLanes<T>;
    several_taps_ = depthwise_ || (contiguous && (lanes_from_z_ || p_.o < 2 * kMaxRows[kMaxVectors]));
    sets_ = pixels_.tap_sets(several_taps_);
    tiles_ = tiles_of<T>(lanes_from_z_ ? p_.axis[2].kernel * p_.o : p_.c);
    choose_tasks();
    choose_memory(several_taps_ ? numbers : p_.o);
    choose_parts(threads);
  }

  void run(Pool &pool) {
    const int64_t parts = std::is_same_v<S, T> && parts_ == 1 ? 0 : parts_;
    const int64_t bytes = round_up(thread_bytes_ * pool.threads(), 64);
    scratch_ = static_cast<char *>(pool.scratch(bytes + parts * size() * kSize<T>));
    if (parts) {
      sums_ = reinterpret_cast<T *>(scratch_ + bytes);
    } else if constexpr (std::is_same_v<S, T>) {
      sums_ = w_;
    }
    run_tasks<&KernelGradient::task>(pool, tap_parts_ * p_.groups * tile_parts_ * parts_, this);
    if (parts) run_tasks<&KernelGradient::add_parts>(pool, leading_taps() * p_.axis[2].kernel, this);
  }

 private:
  int64_t leading_taps() const { return p_.axis[0].kernel * p_.axis[1].kernel; }
  int64_t row_size() const { return p_.c * p_.groups; }  // of w
  int64_t size() const { return leading_taps() * p_.axis[2].kernel * p_.o * row_size(); }
  static int64_t padded(int64_t lanes) { return round_up(lanes, kLanes<T>); }
  static int64_t terms(int64_t pixels) { return ceil_div(pixels, kNumbers<A>); }

  // Tasks share out the taps, as far as no two sets have one in common, and then the tiles. The chunks of pixels, and
  // so the order of sums, depend on the tiles of a task. Its taps depend on the number of threads, but change no order.
  void choose_tasks() {
    units_ = leading_taps() * (several_taps_ ? 1 : count(sets_));
    tile_parts_ = smaller(count(tiles_), ceil_div(kTasks, units_ * p_.groups));
  }

  void choose_memory(int64_t numbers_of_z) {
    const int64_t tiles_of_part = ceil_div(count(tiles_), tile_parts_), row = pixels_.row_size();
    const int64_t lanes =
        lanes_from_z_ || depthwise_ ? kMaxVectors * kLanes<T> : tiles_of_part * padded(tiles_[0].size());
    packed_row_ = padded(kNumbers<A> > 1 && !lanes_from_z_ ? numbers_of_z : lanes_from_z_ ? p_.c : p_.o);
    packed_row_ += kLanes<T>;  // rows that are a power of two apart share few places in the cache
    const int64_t numbers = smaller(kXBytes / lanes, kZBytes / packed_row_) / kSize<N>;
    const int64_t at_once = larger<int64_t>(64, smaller(kPixelsAtOnce, numbers));
    rows_at_once_ = larger<int64_t>(1, smaller(pixels_.rows(), at_once / row));
    pixels_at_once_ = smaller(row, at_once);
    chunks_ = ceil_div(pixels_.rows(), rows_at_once_) * ceil_div(row, pixels_at_once_);
    packed_ = kNumbers<A> > 1 ||
              (!lanes_from_z_ && !several_taps_ && (tiles_of_part > 1 || pixels_.z_step() * kSize<T> >= 1024));
    const int64_t terms_at_once = rows_at_once_ * terms(pixels_at_once_);
    packed_terms_ = packed_ ? terms_at_once * packed_row_ : 0;
    thread_bytes_ = round_up((terms_at_once * lanes + packed_terms_) * kSize<A>, 64) + kProductBytes;
  }

  // Where tasks are few, the pixels are split, too.
  void choose_parts(int threads) {
    constexpr int64_t kPixelsOfPart = 4096;
    const int64_t pixels = pixels_.rows() * pixels_.row_size();
    parts_ = 1;
    if (units_ * tile_parts_ * p_.groups < kTasks && size() < pixels * (p_.c + p_.o) * p_.groups / 8)
      parts_ = larger<int64_t>(1, smaller(smaller(kTasks, chunks_), pixels / kPixelsOfPart));
    tap_parts_ = smaller(units_, ceil_div(threads == 1 ? 1 : 4 * threads, p_.groups * tile_parts_ * parts_));
  }

  Chunk chunk_at(int64_t chunk) const {
    const int64_t row = pixels_.row_size(), of_row = ceil_div(row, pixels_at_once_);
    const int64_t first_row = chunk / of_row * rows_at_once_, first = chunk % of_row * pixels_at_once_;
    return {{first_row, smaller(pixels_.rows(), first_row + rows_at_once_)},
            {first, smaller(row, first + pixels_at_once_)}};
  }

  // What a task works on, and its memory.
  struct Work {
    int64_t group;
    Range tiles;
    T *sums, *product;
    A *packed, *panel;        // the rows and the lanes of products
    Chunk chunk{};            // of pixels,
    Range in_panel{};         // of which these are in the panel
    bool accumulate = false;  // or write the first sums
    std::vector<JoinedRow<N>> rows{};
    std::vector<Segment<A>> segments{};
  };

  void task(int64_t task, int thread) {
    const int64_t part = task % parts_, tile_part = task / parts_ % tile_parts_;
    task /= parts_ * tile_parts_;
    const int64_t group = task % p_.groups, tap_part = task / p_.groups;
    const Range units{units_ * tap_part / tap_parts_, units_ * (tap_part + 1) / tap_parts_};
    char *scratch = scratch_ + thread * thread_bytes_;
    A *packed = reinterpret_cast<A *>(scratch + kProductBytes);
    Work work{group,
              {count(tiles_) * tile_part / tile_parts_, count(tiles_) * (tile_part + 1) / tile_parts_},
              sums_ + part * size(),
              reinterpret_cast<T *>(scratch),
              packed,
              packed + packed_terms_};
    if (several_taps_)
      for (int64_t tap01 = units.begin; tap01 < units.end; ++tap01) clear(work, tap01, {0, p_.axis[2].kernel});
    // The leading taps of one set follow each other, as they share what is packed of x.
    const int64_t taps01 = several_taps_ ? units.size() : leading_taps();
    const Range steps = several_taps_ ? Range{0, taps01 * count(sets_)} : units;
    const Range chunks{chunks_ * part / parts_, chunks_ * (part + 1) / parts_};
    for (int64_t i = chunks.begin; i < chunks.end; ++i) {
      work.chunk = chunk_at(i);
      work.accumulate = several_taps_ || i > chunks.begin;
      work.in_panel = {0, 0};
      for (int64_t j = steps.begin; j < steps.end; ++j)
        add_product(work, (several_taps_ ? units.begin : 0) + j % taps01, sets_[j / taps01]);
    }
  }

  void add_product(Work &work, int64_t tap01, TapSet set) const {
    pixels_.join(work.chunk, tap01, set, work.group, work.rows);
    if (!work.accumulate && (lanes_from_z_ || work.rows.empty())) clear(work, tap01, {set.tap, set.tap + 1});
    if (work.rows.empty()) return;
    set.pixels = set.pixels & work.chunk.pixels;
    if (depthwise_) {
      if constexpr (std::is_same_v<A, T>) multiply_depthwise(set, tap01, work);
    } else if (lanes_from_z_) {
      multiply_lanes_of_z(set, tap01, work);
    } else {
      multiply_lanes_of_x(set, tap01, work);
    }
  }

  // The matrix of a tap in sums, of this group.
  T *matrix(const Work &work, int64_t tap01, int64_t tap) const {
    return work.sums + (tap01 * p_.axis[2].kernel + tap) * p_.o * row_size() + work.group * p_.c;
  }

  void clear(const Work &work, int64_t tap01, Range taps) const {
    const Range of_taps{taps.begin * p_.o, taps.end * p_.o};
    const Range lanes{tiles_[work.tiles.begin].begin, tiles_[work.tiles.end - 1].end};
    const Range rows = lanes_from_z_ ? lanes & of_taps : of_taps, columns = lanes_from_z_ ? Range{0, p_.c} : lanes;
    for (int64_t row = rows.begin; row < rows.end; ++row)
      std::memset(matrix(work, tap01, 0) + row * row_size() + columns.begin, 0, columns.size() * sizeof(T));
  }

  // `lanes` numbers of each of `pixels` pixels, followed by zeros up to whole vectors.
  static void pack(const N *from, int64_t from_pixel, int64_t pixels, int64_t lanes, A *to) {
    copy_rows(from, from_pixel, to, padded(lanes), pixels, lanes);
    for (int64_t i = 0; i < terms(pixels); ++i)
      for (int64_t lane = lanes; lane < padded(lanes); ++lane) to[i * padded(lanes) + lane] = 0;
  }

  // A panel for each tile. Pairs begin with the pixels of a set, so that both pixels of a pair are among these.
  void pack_x(const TapSet &set, Work &work) const {
    const Range pixels = kNumbers<A> == 1 ? work.chunk.pixels : set.pixels;
    if (work.in_panel.begin == pixels.begin && work.in_panel.end == pixels.end) return;
    work.in_panel = pixels;
    A *to = work.panel;
    for (int64_t i = work.tiles.begin; i < work.tiles.end; ++i)
      for (int64_t row = work.chunk.rows.begin; row < work.chunk.rows.end; ++row) {
        const N *from = pixels_.x_at(row, work.group) + pixels.begin * pixels_.x_step() + tiles_[i].begin;
        pack(from, pixels_.x_step(), pixels.size(), tiles_[i].size(), to);
        to += terms(pixels.size()) * padded(tiles_[i].size());
      }
  }

  // The numbers of the rows of a product for some pixels: in place, or a copy at `to`, which then moves on.
  const A *pack_rows(const N *from, int64_t from_pixel, int64_t pixels, int64_t rows, A *&to) const {
    if constexpr (kNumbers<A> == 1)
      if (!packed_) return from;
    copy_rows(from, from_pixel, to, packed_row_, pixels, rows);
    return std::exchange(to, to + terms(pixels) * packed_row_);
  }

  void multiply_lanes_of_x(const TapSet &set, int64_t tap01, Work &work) const {
    pack_x(set, work);
    const int64_t rows = set.count * p_.o, row_terms = terms(work.in_panel.size());
    A *to = work.packed, *panel = work.panel;
    work.segments.clear();
    for (const auto &row : work.rows)
      work.segments.push_back(
          {pack_rows(row.z, pixels_.z_step(), set.pixels.size(), rows, to), nullptr, terms(set.pixels.size())});
    for (int64_t i = work.tiles.begin; i < work.tiles.end; ++i) {
      const int64_t lanes = padded(tiles_[i].size()), first = set.pixels.begin - work.in_panel.begin;
      for (int64_t j = 0; j < count(work.rows); ++j)
        work.segments[j].b = panel + (work.rows[j].row * row_terms + first) * lanes;
      multiply<A, Along::kRows>(
          {work.segments.data(), count(work.segments), 0, packed_ ? packed_row_ : pixels_.z_step(), tiles_[i].size(),
           matrix(work, tap01, set.tap) + tiles_[i].begin, row_size(), work.accumulate},
          static_cast<int>(lanes / kLanes<T>), rows);
      panel += work.chunk.rows.size() * row_terms * lanes;
    }
  }

  void multiply_lanes_of_z(const TapSet &set, int64_t tap01, Work &work) const {
    for (int64_t i = work.tiles.begin; i < work.tiles.end; ++i) {
      const Range lanes = tiles_[i] & Range{set.tap * p_.o, (set.tap + set.count) * p_.o};
      if (lanes.size() <= 0) continue;
      A *to = work.panel, *to_rows = work.packed;
      work.segments.clear();
      for (const auto &row : work.rows) {
        const N *z = row.z + lanes.begin - set.tap * p_.o;
        pack(z, pixels_.z_step(), set.pixels.size(), lanes.size(), to);
        const A *x = pack_rows(row.x, pixels_.x_step(), set.pixels.size(), p_.c, to_rows);
        work.segments.push_back({x, to, terms(set.pixels.size())});
        to += terms(set.pixels.size()) * padded(lanes.size());
      }
      multiply<A, Along::kRows>(
          {work.segments.data(), count(work.segments), 0, packed_ ? packed_row_ : pixels_.x_step(),
           padded(lanes.size()), work.product, padded(lanes.size()), false},
          static_cast<int>(padded(lanes.size()) / kLanes<T>), p_.c);
      T *sums = matrix(work, tap01, 0) + lanes.begin * row_size();
      for (int64_t c = 0; c < p_.c; ++c)
        for (int64_t lane = 0; lane < lanes.size(); ++lane)
          sums[lane * row_size() + c] += work.product[c * padded(lanes.size()) + lane];
    }
  }

  void multiply_depthwise(const TapSet &set, int64_t tap01, Work &work) const {
    work.segments.clear();
    for (const auto &row : work.rows) work.segments.push_back({row.z, row.x, set.pixels.size()});
    for (int64_t i = work.tiles.begin; i < work.tiles.end; ++i)
      for (int64_t tap = 0; tap < set.count; tap += kMaxTaps) {
        const int64_t taps = smaller(set.count - tap, kMaxTaps), lanes = tiles_[i].size();
        multiply_lanes<T>({work.segments.data(), count(work.segments), tiles_[i].begin, tap * z_tap_, z_tap_,
                           pixels_.z_step(), pixels_.x_step(), lanes, work.product, lanes},
                          taps);
        T *sums = matrix(work, tap01, set.tap + tap) + tiles_[i].begin;
        for (int64_t row = 0; row < taps; ++row, sums += row_size())
          for (int64_t lane = 0; lane < lanes; ++lane) sums[lane] += work.product[row * lanes + lane];
      }
  }

  // The sums of all parts of a tap, in order, in the type of w.
  void add_parts(int64_t tap, int) const {
    constexpr int64_t L = kLanes<T>;
    const int64_t end = (tap + 1) * p_.o * row_size();
    int64_t i = tap * p_.o * row_size();
    for (; i + L <= end; i += L) {
      Vector<T> sum = load(sums_ + i);
      for (int64_t part = 1; part < parts_; ++part) sum += load(sums_ + part * size() + i);
      store(sum, w_ + i);
    }
    for (; i < end; ++i) {
      T sum = sums_[i];
      for (int64_t part = 1; part < parts_; ++part) sum += sums_[part * size() + i];
      narrow(sum, w_ + i);
    }
  }

  const Problem p_;
  const bool depthwise_;
  S *const w_;
  const JoinedPixels<N> pixels_;
  std::vector<TapSet> sets_;
  std::vector<Range> tiles_;  // of the lanes
  bool several_taps_, lanes_from_z_, packed_;
  int64_t z_tap_, rows_at_once_, pixels_at_once_, packed_row_, packed_terms_, chunks_;
  int64_t units_, tap_parts_, tile_parts_, parts_, thread_bytes_;
  char *scratch_ = nullptr;
  T *sums_ = nullptr;
};

}  // namespace jconvt::JCONVT_ISA
