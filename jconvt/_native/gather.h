// T and F: each output pixel sums, over the taps that reach it, the product of an input pixel and a tap's matrix.
#pragma once
#include "pool.h"
#include "taps.h"
#include "tile.h"

namespace jconvt::JCONVT_ISA {

// T or F as one problem: from the channels of each group of `in`, which are contiguous, to `width` channels of `out`.
// The channels of a group of `in` are `depth()` terms of type A: numbers in the type of sums, or pairs of neighbours.
// Or depthwise: as many groups of one channel as `width`, which then share the lanes of vectors; groups is 1.
template <class S, class A> struct Gather {
  bool transposed, depthwise;
  int64_t batch, groups, channels, width;
  const Axis *axis;
  Strides in_strides, out_strides;
  const A *in;
  const S *w;
  S *out;

  int64_t depth() const { return ceil_div(channels, kNumbers<A>); }
  int64_t w_tap() const { return channels * width * groups; }
  int64_t w_row() const { return transposed ? channels * groups : width * groups; }
  const S *w_at(int64_t tap, int64_t group, int64_t first) const {
    return w + tap * w_tap() + (transposed ? first * w_row() + group * channels : group * width + first);
  }

  // The matrix of a tap as rows of `padded` lanes, one for each term of `in` from `from`; lanes beyond `lanes` are 0.
  void pack(int64_t tap, int64_t group, int64_t first, int64_t lanes, int64_t from, int64_t rows, int64_t padded,
            A *panel) const {
    const S *source = w_at(tap, group, first);
    const int64_t begin = from * kNumbers<A>, count = smaller(rows * kNumbers<A>, channels - begin);
    if (transposed) {
      transpose(source + begin, w_row(), panel, padded, lanes, count);
    } else {
      copy_rows(source + begin * w_row(), w_row(), panel, padded, count, lanes);
    }
    if (lanes < padded)
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t lane = lanes; lane < padded; ++lane) panel[row * padded + lane] = 0;
  }
};

// Writes rows of sums to an image in its own type.
template <class S>
void write_rows(const Sum<S> *sums, int64_t rows, int64_t row_size, int64_t width, S *out, int64_t out_row) {
  for (int64_t m = 0; m < rows; ++m) {
    int64_t i = 0;
    for (; i + kLanes<Sum<S>> <= width; i += kLanes<Sum<S>>)
      store(load(sums + m * row_size + i), out + m * out_row + i);
    for (; i < width; ++i) narrow(sums[m * row_size + i], out + m * out_row + i);
  }
}

template <class S, class A> class DenseGather {
  using T = Sum<S>;
  static constexpr int64_t kPanelBytes = 640 << 10;  // of packed taps: they stay in the second cache while rows pass
  static constexpr int64_t kRowsAtOnce = 64;         // of sums that are not written as they are
  static constexpr int64_t kNumbersOfTask = 1 << 16;
  static constexpr bool kDirect = std::is_same_v<S, T>;  // sums are written as they are

 public:
  DenseGather(const Gather<S, A> &gather, int threads) : g_(gather) {
    for (int i = 0; i < 3; ++i) {
      phases_[i] = phases_of(g_.axis[i], g_.transposed);
      has_gaps_ |= std::erase_if(phases_[i], [](const Phase &phase) { return phase.taps.empty(); }) > 0;
    }
    tiles_ = tiles_of<T>(g_.width);
    const int64_t widest = round_up(tiles_[0].size(), kLanes<T>);
    piece_ = smaller(g_.depth(), larger<int64_t>(1, kPanelBytes / (widest * kSize<A>)));
    const int64_t taps = most_taps(0) * most_taps(1) * most_taps(2),
                  slots = larger<int64_t>(1, taps * ceil_div(g_.depth(), piece_));
    const int64_t slot_bytes = piece_ * widest * kSize<A>;
    slots_at_once_ = kDirect && !g_.depthwise ? larger<int64_t>(1, smaller(slots, kPanelBytes / slot_bytes)) : slots;
    thread_bytes_ = round_up(slots_at_once_ * slot_bytes, 64) + (kDirect ? 0 : kRowsAtOnce * widest * kSize<T>);
    choose_parts(threads);
  }

  void run(Pool &pool) {
    scratch_ = static_cast<char *>(pool.scratch(thread_bytes_ * pool.threads()));
    if (has_gaps_)
      run_tasks<&DenseGather::clear>(pool, ceil_div(g_.batch * g_.out_strides.batch, kNumbersOfTask), this);
    run_tasks<&DenseGather::task>(pool, tasks(), this);
  }

 private:
  int64_t most_taps(int axis) const {
    size_t most = 0;
    for (const Phase &phase : phases_[axis]) most = larger(most, phase.taps.size());
    return static_cast<int64_t>(most);
  }
  int64_t phases() const { return static_cast<int64_t>(phases_[0].size() * phases_[1].size() * phases_[2].size()); }
  int64_t tasks() const { return phases() * g_.groups * count(tiles_) * parts_; }

  // Splits the images, or else an axis, so that each thread has several tasks; a task packs its taps, so not too many.
  void choose_parts(int threads) {
    if (phases() == 0) return;
    const int64_t counts[4] = {g_.batch, phases_[0][0].count, phases_[1][0].count, phases_[2][0].count};
    split_ = 1;
    for (const int i : {2, 0, 3})
      if (counts[i] > counts[split_]) split_ = i;
    constexpr int64_t kTasksOfThread = 4, kPixelsOfTask = 128;
    const int64_t pixels = counts[0] * counts[1] * counts[2] * counts[3];
    const int64_t wanted = ceil_div(kTasksOfThread * threads, phases() * g_.groups * count(tiles_));
    parts_ = threads == 1 ? 1 : larger<int64_t>(1, smaller(smaller(wanted, counts[split_]), pixels / kPixelsOfTask));
    if (g_.depthwise) parts_ = smaller(counts[split_], ceil_div(pixels * g_.width, kNumbersOfTask));
  }

  // Outputs without taps are 0, and their phases have no tasks.
  void clear(int64_t task, int) const {
    const int64_t begin = task * kNumbersOfTask, end = g_.batch * g_.out_strides.batch;
    std::memset(g_.out + begin, 0, smaller(kNumbersOfTask, end - begin) * sizeof(S));
  }

  struct Slot {  // a piece of a tap's matrix
    const Tap *tap[3];
    int64_t from, depth;
  };

  void task(int64_t task, int thread) {
    // Parts come last, so that the next task reads the same input, except where tasks pack many taps.
    const int64_t others = tasks() / parts_, part = g_.depthwise ? task / others : task % parts_;
    task = g_.depthwise ? task % others : task / parts_;
    const Range tile = tiles_[task % count(tiles_)];
    task /= count(tiles_);
    const int64_t group = task % g_.groups;
    task /= g_.groups;
    const Phase *phase[3];
    for (int i = 2; i >= 0; --i) {
      const int64_t size = static_cast<int64_t>(phases_[i].size());
      phase[i] = &phases_[i][task % size];
      task /= size;
    }
    std::vector<Slot> slots;
    for (const Tap &tap0 : phase[0]->taps)
      for (const Tap &tap1 : phase[1]->taps)
        for (const Tap &tap2 : phase[2]->taps)
          for (int64_t from = 0; from < g_.depth(); from += piece_)
            slots.push_back({{&tap0, &tap1, &tap2}, from, smaller(piece_, g_.depth() - from)});

    Range whole[4] = {{0, g_.batch}, {0, phase[0]->count}, {0, phase[1]->count}, {0, phase[2]->count}};
    const int64_t size = whole[split_].end;
    whole[split_] = {size * part / parts_, size * (part + 1) / parts_};

    char *scratch = scratch_ + thread * thread_bytes_;
    A *panel = reinterpret_cast<A *>(scratch);
    T *sums = reinterpret_cast<T *>(scratch + thread_bytes_) - kRowsAtOnce * padded(tile);
    const size_t step = slots_at_once_;
    for (size_t begin = 0; begin == 0 || begin < slots.size(); begin += step) {
      const size_t end = smaller(slots.size(), begin + step);
      A *to = panel;
      for (size_t i = begin; i < end; ++i) {
        const Slot &slot = slots[i];
        const int64_t tap =
            (slot.tap[0]->tap * g_.axis[1].kernel + slot.tap[1]->tap) * g_.axis[2].kernel + slot.tap[2]->tap;
        g_.pack(tap, group, tile.begin, tile.size(), slot.from, slot.depth, padded(tile), to);
        to += slot.depth * padded(tile);
      }
      for (const Range piece0 : phase[0]->pieces)
        for (const Range piece1 : phase[1]->pieces)
          for (const Range piece2 : phase[2]->pieces) {
            const Range box[4] = {whole[0], piece0 & whole[1], piece1 & whole[2], piece2 & whole[3]};
            if (box[0].size() > 0 && box[1].size() > 0 && box[2].size() > 0 && box[3].size() > 0)
              compute_box(phase, box, group, tile, slots.data() + begin, slots.data() + end, panel, begin > 0, sums);
          }
    }
  }

  static int64_t padded(Range tile) { return round_up(tile.size(), kLanes<T>); }

  // The images and outputs of a box sum over the same taps. The rows of a product run along its longest side.
  void compute_box(const Phase *const *phase, const Range *box, int64_t group, Range tile, const Slot *slot,
                   const Slot *end, const A *panel, bool accumulate, T *sums) const {
    const Strides &in = g_.in_strides, &out = g_.out_strides;
    std::vector<Segment<A>> segments;
    for (; slot < end; panel += slot->depth * padded(tile), ++slot) {
      const A *a = g_.in + group * g_.depth() + slot->from + (g_.depthwise ? tile.begin : 0);
      bool inside = true;
      for (int i = 0; i < 3; ++i) {
        inside &= slot->tap[i]->outputs.contains(box[i + 1].begin);
        a += slot->tap[i]->first * in.axis[i];
      }
      if (!inside) continue;
      if (!g_.depthwise && !segments.empty() && segments.back().a + segments.back().depth == a &&
          segments.back().b + segments.back().depth * padded(tile) == panel) {
        segments.back().depth += slot->depth;
      } else {
        segments.push_back({a, panel, slot->depth});
      }
    }
    if (segments.empty() && accumulate) return;

    int along = 3;
    if (box[3].size() < 12)
      for (const int i : {2, 1, 0})
        if (box[i].size() > box[along].size()) along = i;
    int64_t step_in[4] = {in.batch}, step_out[4] = {out.batch}, start = group * g_.width + tile.begin;
    for (int i = 0; i < 3; ++i) {
      step_in[i + 1] = phase[i]->step_in * in.axis[i];
      step_out[i + 1] = phase[i]->step * out.axis[i];
      start += phase[i]->start * out.axis[i];
    }
    Range outer[4] = {box[0], box[1], box[2], box[3]};
    outer[along].end = outer[along].begin + 1;
    const int vectors = static_cast<int>(padded(tile) / kLanes<T>);
    Product<A> product{segments.data(), count(segments), 0, step_in[along], tile.size(), nullptr, 0, accumulate};
    for (int64_t n = outer[0].begin; n < outer[0].end; ++n)
      for (int64_t q0 = outer[1].begin; q0 < outer[1].end; ++q0)
        for (int64_t q1 = outer[2].begin; q1 < outer[2].end; ++q1)
          for (int64_t q2 = outer[3].begin; q2 < outer[3].end; ++q2) {
            product.shift = n * step_in[0] + q0 * step_in[1] + q1 * step_in[2] + q2 * step_in[3];
            S *to = g_.out + start + n * step_out[0] + q0 * step_out[1] + q1 * step_out[2] + q2 * step_out[3];
            compute_rows(product, vectors, box[along].size(), to, step_out[along], sums);
          }
  }

  void compute_rows(Product<A> product, int vectors, int64_t rows, S *to, int64_t to_row, T *sums) const {
    const auto compute = [&](int64_t now) {
      if constexpr (std::is_same_v<A, T>)
        if (g_.depthwise)
          return multiply_lanes<T>({product.segments, product.count, 0, product.shift, product.stride, 0, 0,
                                    product.width, product.out, product.out_row},
                                   now);
      multiply<A, Along::kDepth>(product, vectors, now);
    };
    if constexpr (kDirect) {
      product.out = to;
      product.out_row = to_row;
      return compute(rows);
    }
    const int64_t row_size = vectors * kLanes<T>;
    for (; rows > 0; rows -= kRowsAtOnce, to += kRowsAtOnce * to_row, product.shift += kRowsAtOnce * product.stride) {
      product.out = sums;
      product.out_row = row_size;
      compute(smaller(rows, kRowsAtOnce));
      write_rows<S>(sums, smaller(rows, kRowsAtOnce), row_size, product.width, to, to_row);
    }
  }

  const Gather<S, A> g_;
  bool has_gaps_ = false;
  std::vector<Phase> phases_[3];
  std::vector<Range> tiles_;  // of output channels
  int64_t piece_, slots_at_once_, thread_bytes_, parts_ = 1;
  int split_;
  char *scratch_ = nullptr;
};

}  // namespace jconvt::JCONVT_ISA
