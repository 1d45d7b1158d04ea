// G: each tap's matrix sums, over the pixels that the tap joins, the outer product of a pixel of z and one of x.
#pragma once
#include "pool.h"
#include "taps.h"
#include "tile.h"

namespace jconvt::JCONVT_ISA {

// x and z have contiguous channels. w is in the order (taps..., o, groups * c). The terms of sums are pixels, or pairs
// of pixels that a tap joins.
template <class S, class A>
struct Gradient {
  const Problem &problem;
  Strides x_strides, z_strides;
  const Number<A> *x, *z;
  S *w;
};

template <class S, class A>
class KernelGradient {
  using T = Sum<S>;
  // What is packed at once: pixels, and bytes of x and z. They stay in the second and third cache while taps pass.
  static constexpr int64_t kPixelsAtOnce = 1024, kXBytes = 1 << 20, kZBytes = 1 << 19;

 public:
  KernelGradient(const Gradient<S, A> &gradient, int threads) : g_(gradient), p_(gradient.problem) {
    for (int i = 0; i < 3; ++i) {
      phases_[i] = forward_phases(p_.axis[i])[0];
      taps_[i].resize(p_.axis[i].kernel);
      for (const Tap &tap : phases_[i].taps) taps_[i][tap.tap] = &tap;
    }
    depthwise_ = p_.groups > 1 && p_.c == 1 && p_.o == 1;
    if (depthwise_) std::swap(p_.c, p_.groups);  // the groups share the lanes of vectors
    total_ = p_.c * p_.groups;
    // The channels of z follow each other from tap to tap, so that few of them make one product with many rows.
    const bool contiguous = p_.groups == 1 && p_.axis[2].dilation == 1;
    const int64_t joined = p_.o * (contiguous ? p_.axis[2].kernel : 1);
    lanes_from_z_ = !depthwise_ && 4 * p_.c < 3 * kLanes<T> && joined > p_.c && joined >= kLanes<T>;
    joined_ = depthwise_ || (contiguous && (lanes_from_z_ || p_.o < 2 * kMaxRows[kMaxVectors]));
    make_tap_sets();
    const int64_t wide = lanes_from_z_ ? p_.axis[2].kernel * p_.o : p_.c;
    tiles_ = tiles_of<T>(wide);
    rows_ = p_.batch * phases_[0].count * phases_[1].count;
    choose_parts();
    const int64_t row = phases_[2].count,
                  x_lanes = lanes_from_z_ || depthwise_ ? kMaxVectors * kLanes<T> : lanes_of_part();
    const int64_t product_rows = kNumbers<A> == 1 ? p_.o : lanes_from_z_ ? p_.c : joined_ ? joined : p_.o;
    packed_row_ = round_up(product_rows, kLanes<T>) +
                  kLanes<T>;  // rows that a power of two apart would share few places in the cache
    const int64_t at_once =
        larger<int64_t>(64, smaller(kPixelsAtOnce, smaller(kXBytes / x_lanes, kZBytes / packed_row_) /
                                                       static_cast<int64_t>(sizeof(Number<A>))));
    rows_at_once_ = larger<int64_t>(1, smaller(rows_, at_once / row));
    pixels_at_once_ = smaller(row, at_once);
    chunks_ = ceil_div(rows_, rows_at_once_) * ceil_div(row, pixels_at_once_);
    packed_ = kNumbers<A> > 1 ||
              (!lanes_from_z_ && !joined_ && (x_lanes > kMaxVectors * kLanes<T> || z_step() * sizeof(T) >= 1024));
    const int64_t terms_at_once = rows_at_once_ * terms(pixels_at_once_);
    packed_terms_ = packed_ ? terms_at_once * packed_row_ : 0;
    thread_bytes_ = round_up((terms_at_once * x_lanes + packed_terms_) * kSize<A>, 64) + kSumBytes;
    choose_pixel_parts(threads);
  }

  bool run(Pool &pool) {
    const int64_t size = taps() * p_.o * total_, sums = std::is_same_v<S, T> && parts_ == 1 ? 0 : parts_;
    const int64_t bytes = round_up(thread_bytes_ * pool.threads(), 64);
    scratch_ = static_cast<char *>(pool.scratch(bytes + sums * size * kSize<T>));
    if (!scratch_) return false;
    if (sums) {
      sums_ = reinterpret_cast<T *>(scratch_ + bytes);
    } else if constexpr (std::is_same_v<S, T>) {
      sums_ = g_.w;
    }
    const int64_t tasks = tap_parts_ * p_.groups * tile_parts_ * parts_;
    run_tasks<&KernelGradient::task>(pool, tasks, this);
    if (sums) run_tasks<&KernelGradient::add_parts>(pool, taps(), this);
    return true;
  }

 private:
  static constexpr int64_t kMaxTaps = 16, kSumBytes = kMaxVectors * kVectorBytes * kMaxTaps, kTasks = 8;

  // Taps along the last axis, from tap to tap + count, that join the same pixels of x.
  struct TapSet {
    int64_t tap, count, first;
    Range pixels;
  };

  int64_t taps() const { return p_.axis[0].kernel * p_.axis[1].kernel * p_.axis[2].kernel; }

  void make_tap_sets() {
    if (!joined_) {
      for (int64_t t = 0; t < p_.axis[2].kernel; ++t) {
        const Tap *tap = tap_at(2, t);
        sets_.push_back({t, 1, tap ? tap->first : 0, tap ? tap->outputs : Range{0, 0}});
      }
      return;
    }
    for (const Range piece : phases_[2].pieces()) {
      TapSet set{0, 0, 0, piece};
      for (const Tap &tap : phases_[2].taps)
        if (tap.outputs.begin <= piece.begin && piece.begin < tap.outputs.end) {
          if (set.count == 0) set = {tap.tap, 0, tap.first, piece};
          ++set.count;
        }
      if (set.count) sets_.push_back(set);
    }
  }

  // Tasks share out the sets of taps, as far as these have no taps in common, and then the tiles. The chunks of pixels,
  // and so the order of sums, depend on the tiles of a task, but not on its taps: only these depend on the number of
  // threads.
  void choose_parts() {
    const int64_t tiles = count(tiles_);
    units_ = p_.axis[0].kernel * p_.axis[1].kernel * (joined_ ? 1 : count(sets_));
    tile_parts_ = smaller(tiles, ceil_div(kTasks, units_ * p_.groups));
  }

  // Where tasks are few, the pixels are split, too.
  void choose_pixel_parts(int threads) {
    constexpr int64_t kPixelsOfPart = 4096;
    const int64_t pixels = rows_ * phases_[2].count;
    parts_ = 1;
    if (units_ * tile_parts_ * p_.groups < kTasks && taps() * p_.o * total_ < pixels * (p_.c + p_.o) * p_.groups / 8)
      parts_ = larger<int64_t>(1, smaller(smaller(kTasks, chunks_), pixels / kPixelsOfPart));
    tap_parts_ = smaller(units_, ceil_div(threads == 1 ? 1 : 4 * threads, p_.groups * tile_parts_ * parts_));
  }

  Range tiles_of_part(int64_t part) const {
    const int64_t tiles = count(tiles_);
    return {tiles * part / tile_parts_, tiles * (part + 1) / tile_parts_};
  }
  int64_t lanes_of_part() const {  // at most
    return ceil_div(count(tiles_), tile_parts_) * round_up(tiles_[0].size(), kLanes<T>);
  }

  // Rows of x, and the pixels of each, that are packed at once.
  struct Chunk {
    Range rows, pixels;
  };
  Chunk chunk_at(int64_t chunk) const {
    const int64_t row = phases_[2].count, of_row = ceil_div(row, pixels_at_once_);
    const int64_t first_row = chunk / of_row * rows_at_once_, first = chunk % of_row * pixels_at_once_;
    return {{first_row, smaller(rows_, first_row + rows_at_once_)}, {first, smaller(row, first + pixels_at_once_)}};
  }

  void task(int64_t task, int thread) {
    const int64_t part = task % parts_;
    task /= parts_;
    const Range tiles = tiles_of_part(task % tile_parts_);
    task /= tile_parts_;
    const int64_t group = task % p_.groups, tap_part = task / p_.groups;
    const Range units{units_ * tap_part / tap_parts_, units_ * (tap_part + 1) / tap_parts_};
    char *scratch = scratch_ + thread * thread_bytes_;
    Work work{group,
              tiles,
              sums_ + part * taps() * p_.o * total_,
              reinterpret_cast<T *>(scratch),
              reinterpret_cast<A *>(scratch + kSumBytes),
              nullptr,
              {},
              false,
              {}};
    work.panel = work.packed + packed_terms_;
    if (joined_)
      for (int64_t tap01 = units.begin; tap01 < units.end; ++tap01) clear(work, tap01, {0, p_.axis[2].kernel});
    // The taps of one set follow each other, as they share what is packed of x.
    const int64_t first_tap = joined_ ? units.begin : 0,
                  taps01 = joined_ ? units.size() : p_.axis[0].kernel * p_.axis[1].kernel;
    const int64_t first = joined_ ? 0 : units.begin, end = joined_ ? taps01 * count(sets_) : units.end;
    const Range chunks{chunks_ * part / parts_, chunks_ * (part + 1) / parts_};
    for (int64_t i = chunks.begin; i < chunks.end; ++i) {
      const Chunk chunk = chunk_at(i);
      work.accumulate = joined_ || i > chunks.begin;
      work.run = {0, 0};
      for (int64_t j = first; j < end; ++j) {
        const int64_t tap01 = first_tap + j % taps01;
        const Tap *tap0 = tap_at(0, tap01 / p_.axis[1].kernel), *tap1 = tap_at(1, tap01 % p_.axis[1].kernel);
        TapSet set = sets_[j / taps01];
        set.pixels = set.pixels & chunk.pixels;
        if (!work.accumulate && lanes_from_z_) clear(work, tap01, {set.tap, set.tap + 1});
        if (!tap0 || !tap1 || set.pixels.size() <= 0) {
          if (!work.accumulate) clear(work, tap01, {set.tap, set.tap + 1});
          continue;
        }
        if (depthwise_) {
          if constexpr (std::is_same_v<A, T>) multiply_depthwise(chunk, *tap0, *tap1, set, tap01, work);
        } else if (lanes_from_z_) {
          multiply_by_x(chunk, *tap0, *tap1, set, tap01, work);
        } else {
          multiply_by_z(chunk, *tap0, *tap1, set, tap01, work);
        }
      }
    }
  }

  const Tap *tap_at(int axis, int64_t index) const { return taps_[axis][index]; }

  // What a task works on, and its memory.
  struct Work {
    int64_t group;
    Range tiles;
    T *sums, *product;
    A *packed, *panel;  // the rows and the lanes of products
    Range run;          // the pixels of each row of x in the panel
    bool accumulate;
    std::vector<Segment<A>> segments;
  };

  // The matrix of a tap in sums, of this group.
  T *matrix(const Work &work, int64_t tap01, int64_t tap) const {
    return work.sums + (tap01 * p_.axis[2].kernel + tap) * p_.o * total_ + work.group * p_.c;
  }

  // The lanes of the tiles of a task.
  Range lanes_of(const Work &work) const { return {tiles_[work.tiles.begin].begin, tiles_[work.tiles.end - 1].end}; }
  const Range &tile(int64_t index) const { return tiles_[index]; }

  void clear(const Work &work, int64_t tap01, Range taps) const {
    const Range of_taps{taps.begin * p_.o, taps.end * p_.o};
    const Range rows = lanes_from_z_ ? lanes_of(work) & of_taps : of_taps;
    const Range columns = lanes_from_z_ ? Range{0, p_.c} : lanes_of(work);
    for (int64_t row = rows.begin; row < rows.end; ++row)
      std::memset(matrix(work, tap01, 0) + row * total_ + columns.begin, 0, columns.size() * sizeof(T));
  }

  struct Row {
    int64_t n, i0, i1;
  };
  Row row_at(int64_t row) const {
    const int64_t size = phases_[0].count * phases_[1].count;
    return {row / size, row % size / phases_[1].count, row % phases_[1].count};
  }
  const Number<A> *x_at(Row row, int64_t group) const {
    return g_.x + row.n * g_.x_strides.batch + row.i0 * g_.x_strides.axis[0] + row.i1 * g_.x_strides.axis[1] +
           group * p_.c;
  }
  // The pixel of z that the taps join with the first pixel of the set's, or nullptr if they join none of this row.
  const Number<A> *z_at(Row row, const Tap &tap0, const Tap &tap1, const TapSet &set, int64_t group) const {
    if (row.i0 < tap0.outputs.begin || row.i0 >= tap0.outputs.end || row.i1 < tap1.outputs.begin ||
        row.i1 >= tap1.outputs.end)
      return nullptr;
    return g_.z + row.n * g_.z_strides.batch + (tap0.first + phases_[0].step_in * row.i0) * g_.z_strides.axis[0] +
           (tap1.first + phases_[1].step_in * row.i1) * g_.z_strides.axis[1] +
           (set.first + phases_[2].step_in * set.pixels.begin) * g_.z_strides.axis[2] + group * p_.o;
  }
  int64_t z_step() const { return phases_[2].step_in * g_.z_strides.axis[2]; }
  static int64_t padded(int64_t lanes) { return round_up(lanes, kLanes<T>); }
  static int64_t terms(int64_t pixels) { return ceil_div(pixels, kNumbers<A>); }

  // `lanes` numbers of each of `pixels` pixels, followed by zeros up to whole vectors.
  static void pack(const Number<A> *from, int64_t from_pixel, int64_t pixels, int64_t lanes, A *to) {
    copy_rows(from, from_pixel, to, padded(lanes), pixels, lanes);
    for (int64_t i = 0; i < terms(pixels); ++i)
      for (int64_t lane = lanes; lane < padded(lanes); ++lane) to[i * padded(lanes) + lane] = 0;
  }

  // A panel for each tile. Pairs begin with the run of a tap, so that both pixels of a pair are in it.
  void pack_x(const Chunk &chunk, const TapSet &set, Work &work) const {
    const Range run = kNumbers<A> == 1 ? chunk.pixels : set.pixels;
    if (work.run.begin == run.begin && work.run.end == run.end) return;
    work.run = run;
    A *to = work.panel;
    for (int64_t i = work.tiles.begin; i < work.tiles.end; ++i)
      for (int64_t row = chunk.rows.begin; row < chunk.rows.end;
           ++row, to += terms(run.size()) * padded(tile(i).size()))
        pack(x_at(row_at(row), work.group) + run.begin * g_.x_strides.axis[2] + tile(i).begin, g_.x_strides.axis[2],
             run.size(), tile(i).size(), to);
  }

  // The numbers of the rows of a product for the pixels of a run: as they lie, or a copy at `to`, which then moves on.
  const A *pack_rows(const Number<A> *from, int64_t from_pixel, int64_t pixels, int64_t rows, A *&to) const {
    if constexpr (kNumbers<A> == 1)
      if (!packed_) return from;
    copy_rows(from, from_pixel, to, packed_row_, pixels, rows);
    return std::exchange(to, to + terms(pixels) * packed_row_);
  }

  // Lanes are channels of x. The rows of the product are channels of z, for one tap after the other.
  void multiply_by_z(const Chunk &chunk, const Tap &tap0, const Tap &tap1, const TapSet &set, int64_t tap01,
                     Work &work) const {
    pack_x(chunk, set, work);
    A *to = work.packed, *panel = work.panel;
    for (int64_t i = work.tiles.begin; i < work.tiles.end; ++i) {
      const int64_t row_size = padded(tile(i).size()), first = i == work.tiles.begin;
      size_t segment = 0;
      for (int64_t row = chunk.rows.begin; row < chunk.rows.end; ++row, panel += terms(work.run.size()) * row_size) {
        const Number<A> *z = z_at(row_at(row), tap0, tap1, set, work.group);
        const A *x = panel + (set.pixels.begin - work.run.begin) * row_size;
        if (!z) continue;
        if (!first) {
          work.segments[segment++].b = x;
          continue;
        }
        if (segment == 0) work.segments.clear();
        work.segments.push_back(
            {pack_rows(z, z_step(), set.pixels.size(), set.count * p_.o, to), x, terms(set.pixels.size())});
        ++segment;
      }
      multiply<A, Along::kRows>(
          {work.segments.data(), static_cast<int64_t>(segment), 0, packed_ ? packed_row_ : z_step(), tile(i).size(),
           matrix(work, tap01, set.tap) + tile(i).begin, total_, work.accumulate},
          static_cast<int>(row_size / kLanes<T>), set.count * p_.o);
    }
  }

  // Lanes are channels of z, for one tap after the other. The rows of the product are channels of x.
  void multiply_by_x(const Chunk &chunk, const Tap &tap0, const Tap &tap1, const TapSet &set, int64_t tap01,
                     Work &work) const {
    const int64_t x_step = g_.x_strides.axis[2];
    for (int64_t i = work.tiles.begin; i < work.tiles.end; ++i) {
      const Range lanes = tile(i) & Range{set.tap * p_.o, (set.tap + set.count) * p_.o};
      if (lanes.size() <= 0) continue;
      const int64_t row_size = padded(lanes.size());
      work.segments.clear();
      A *to = work.panel, *to_rows = work.packed;
      for (int64_t row = chunk.rows.begin; row < chunk.rows.end; ++row)
        if (const Number<A> *z = z_at(row_at(row), tap0, tap1, set, work.group)) {
          pack(z + lanes.begin - set.tap * p_.o, z_step(), set.pixels.size(), lanes.size(), to);
          const Number<A> *x = x_at(row_at(row), work.group) + set.pixels.begin * x_step;
          work.segments.push_back(
              {pack_rows(x, x_step, set.pixels.size(), p_.c, to_rows), to, terms(set.pixels.size())});
          to += terms(set.pixels.size()) * row_size;
        }
      multiply<A, Along::kRows>({work.segments.data(), count(work.segments), 0, packed_ ? packed_row_ : x_step,
                                 row_size, work.product, row_size, false},
                                static_cast<int>(row_size / kLanes<T>), p_.c);
      T *sums = matrix(work, tap01, 0);
      for (int64_t c = 0; c < p_.c; ++c)
        for (int64_t lane = 0; lane < lanes.size(); ++lane)
          sums[(lanes.begin + lane) * total_ + c] += work.product[c * row_size + lane];
    }
  }

  // Lanes are channels of both. The rows of the product are taps.
  void multiply_depthwise(const Chunk &chunk, const Tap &tap0, const Tap &tap1, const TapSet &set, int64_t tap01,
                          Work &work) const {
    const int64_t z_tap = p_.axis[2].dilation * g_.z_strides.axis[2], x_step = g_.x_strides.axis[2];
    work.segments.clear();
    for (int64_t row = chunk.rows.begin; row < chunk.rows.end; ++row)
      if (const T *z = z_at(row_at(row), tap0, tap1, set, 0))
        work.segments.push_back({z, x_at(row_at(row), 0) + set.pixels.begin * x_step, set.pixels.size()});
    for (int64_t i = work.tiles.begin; i < work.tiles.end; ++i)
      for (int64_t tap = 0; tap < set.count; tap += kMaxTaps) {
        const int64_t taps = smaller(set.count - tap, kMaxTaps), lanes = tile(i).size();
        multiply_lanes<T>({work.segments.data(), count(work.segments), tile(i).begin, tap * z_tap, z_tap, z_step(),
                           x_step, lanes, work.product, lanes},
                          taps);
        T *sums = matrix(work, tap01, set.tap + tap) + tile(i).begin;
        for (int64_t row = 0; row < taps; ++row, sums += total_)
          for (int64_t lane = 0; lane < lanes; ++lane) sums[lane] += work.product[row * lanes + lane];
      }
  }

  // The sums of all parts of a tap, in order, in the type of w.
  void add_parts(int64_t tap, int) const {
    constexpr int64_t L = kLanes<T>;
    const int64_t size = p_.o * total_, end = (tap + 1) * size;
    int64_t i = tap * size;
    for (; i + L <= end; i += L) {
      Vector<T> sum = load(sums_ + i);
      for (int64_t part = 1; part < parts_; ++part) sum += load(sums_ + part * taps() * size + i);
      store(sum, g_.w + i);
    }
    for (; i < end; ++i) {
      T sum = sums_[i];
      for (int64_t part = 1; part < parts_; ++part) sum += sums_[part * taps() * size + i];
      narrow(sum, g_.w + i);
    }
  }

  const Gradient<S, A> g_;
  Problem p_;
  Phase phases_[3];
  std::vector<const Tap *> taps_[3];  // nullptr for a tap that joins no pixels
  std::vector<TapSet> sets_;
  std::vector<Range> tiles_;  // of the lanes
  bool depthwise_, joined_, lanes_from_z_, packed_;
  int64_t total_, rows_, rows_at_once_, pixels_at_once_, packed_row_, packed_terms_, chunks_, units_, tap_parts_,
      tile_parts_, parts_, thread_bytes_;
  char *scratch_ = nullptr;
  T *sums_ = nullptr;
};

}  // namespace jconvt::JCONVT_ISA
