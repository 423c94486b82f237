// The forward pass: all steps of one layer in one direction.
//
// The sums of the inputs wait for no earlier step. Where x is wide they are computed for some steps
// at once, in one product with many rows; where it is narrow they are folded into the step. A step
// then adds the product with h_{t-1} and computes the gates of each block of units while its sums
// are in the first-level cache. Sequences that ended are no rows any more; a reset is a pointer to
// zeros.
#pragma once

#include <algorithm>
#include <cstring>
#include <new>

#include "activations.h"
#include "lstm.h"
#include "packing.h"
#include "product.h"
#include "rows.h"
#include "schedule.h"
#include "variants.h"

namespace carousel {

template <class S>
class ForwardPass {
  using V = typename S::V;
  using P = Product<S>;
  using L = Layout<S>;
  using A = Activations<S>;
  using W = Words<S>;

 public:
  ForwardPass(const Forward& call, int members, Workspace& workspace)
      : call_(call),
        sequence_(call.sequence),
        shape_(sequence_.shape),
        variant_(sequence_.variant),
        layout_(shape_),
        steps_(chunk_steps(shape_, members)),
        plain_(is_plain(variant_)),
        order_(Order::take(workspace, shape_)),
        barriers_(workspace.take<Barrier>(members + 1)),
        zeros_(workspace.take<float>(zero_floats())),
        cells_(workspace.take<float>(shape_.batch * kept_width())),
        lists_(workspace.take<Lists>(members)) {
    if (S::kPairs || variant_.recurrent_mask != nullptr)
      fed_ = workspace.take<float>(2 * shape_.batch * fed_width());
    if (shape_.projects()) {
      shown_ = workspace.take<float>(shape_.batch * kept_width());
      projected_ = workspace.take<float>(shape_.batch * layout_.output_floats);
    }
    if (!keeps() && !narrow())
      sums_ = workspace.take<float>(steps_ * shape_.batch * layout_.columns);
    for (int m = 0; m < members; ++m) {
      Lists lists;
      lists.row = workspace.take<Row>(shape_.batch);
      lists.x = workspace.take<const float*>(steps_ * shape_.batch);
      lists.sums = workspace.take<float*>(steps_ * shape_.batch);
      lists.h = workspace.take<const float*>(shape_.batch);
      lists.block = workspace.take<float*>(shape_.batch);
      lists.scratch = workspace.take<float>(keeps() || !narrow() ? 0 : shape_.batch * kScratch);
      lists.x_words = workspace.take<float>(S::kPairs ? steps_ * shape_.batch * x_width() : 0);
      if (lists_ != nullptr) lists_[m] = lists;
    }
    peephole_ = call.packed + layout_.peephole();
  }

  // Before the team starts.
  void prepare(int members) {
    order_.fill(shape_, sequence_.lengths);
    for (int m = 0; m <= members; ++m) new (barriers_ + m) Barrier;
    std::memset(zeros_, 0, static_cast<size_t>(zero_floats()) * sizeof(float));
  }

  // By every member of the team.
  void run(Member member) {
    const Place place = Place::of(member, unit_groups(shape_, member.count), barriers_);
    const Range units = Range::share(layout_.blocks, place.unit_group, place.unit_groups);
    const Range outputs = own_outputs(place, units);
    const Lists& lists = lists_[member.index];
    start(place, units, outputs);
    for (int64_t first = 0; first < order_.longest; first += steps_) {
      const int64_t last = std::min(first + steps_, order_.longest);
      if (!narrow()) add_inputs(place, units, lists, first, last);
      for (int64_t s = first; s < last; ++s) {
        const int64_t rows = place.local_rows(order_.running[s]);
        list_rows(place, lists, first, s, rows);
        place.wait_for_group();  // h_{t-1} is whole
        // Back and forth, because the weights read last are still in the cache.
        const bool back = (s + call_.turn) % 2 != 0;
        const int64_t width = rows == 1 ? kPair : 1;
        const int64_t groups = (units.end - units.begin + width - 1) / width;
        for (int64_t g = 0; g < groups; ++g) {
          const int64_t u = units.begin + (back ? groups - 1 - g : g) * width;
          const int64_t end = std::min(u + width, units.end);
          const int64_t offset =
              !keeps() && narrow() ? u * L::kBlock : 0;  // of the sums in their rows
          for (int64_t r = 0; r < rows; r += kRowsInHand) {
            const Range some{r, std::min(r + kRowsInHand, rows)};
            add_products(lists, some, u, end, offset);
            for (int64_t v = u; v < end; ++v) gates(lists, some, v, v * L::kBlock - offset);
          }
        }
        if (shape_.projects()) {
          place.wait_for_group();  // the memory is shown as a whole
          project(lists, rows, outputs);
        }
      }
    }
    place.wait_for_team();
    finish(member);
  }

 private:
  static constexpr int64_t kChunkRows = 192;  // rows of inputs whose sums are computed at once
  static constexpr int64_t kRowsInHand = 24;  // whose sums stay in the first-level cache
  static constexpr int64_t kPair = 2;         // blocks of units at once, where there is one row
  static constexpr int64_t kScratch = kPair * L::kBlock;

  // One row of one step. Pointers to vectors of units or of outputs, at the first of them.
  struct Row {
    int64_t b, t;
    float* gates;  // sums, then gates
    const float* c_old;
    float* c_new;
    const float* h_old;
    float* h_new;       // where h_t goes
    float* shown;       // where o tanh(c) goes: h_new, or the projection's input
    float* fed;         // where m h_t goes for the next step, in words; null where that reads h_t
    const float* mask;  // m, or null for 1
  };

  struct Lists {
    Row* row;
    const float** x;
    float** sums;
    const float** h;
    float** block;  // sums of the block in hand
    float* scratch;
    float* x_words;
  };

  static int64_t chunk_steps(const Shape& shape, int members) {
    const int64_t steps =
        (kChunkRows * members + shape.batch - 1) / std::max<int64_t>(shape.batch, 1);
    return is_narrow(shape) ? 1 : std::max<int64_t>(1, std::min(steps, shape.steps));
  }

  bool keeps() const { return call_.kept.gates != nullptr; }
  // Whether the inputs are summed within the step.
  static bool is_narrow(const Shape& shape) { return shape.input <= kNarrow || shape.steps == 1; }
  bool narrow() const { return is_narrow(shape_); }
  int64_t zero_floats() const { return std::max(kept_width(), layout_.output_floats); }
  int64_t kept_width() const { return padded(shape_.hidden); }
  int64_t fed_width() const { return W::count(padded(shape_.output)); }
  int64_t x_width() const { return W::count(padded(shape_.input)); }

  // The columns of h that a member writes: those of its units, or its share of the projection.
  Range own_outputs(const Place& place, const Range& units) const {
    if (!shape_.projects())
      return {units.begin * S::kLanes, std::min(units.end * S::kLanes, shape_.output)};
    const Range vectors = Range::share((shape_.output + S::kLanes - 1) / S::kLanes,
                                       place.unit_group, place.unit_groups);
    return {vectors.begin * S::kLanes, std::min(vectors.end * S::kLanes, shape_.output)};
  }

  void start(const Place& place, const Range& units, const Range& outputs) {
    const int64_t begin = units.begin * S::kLanes;
    const int64_t end = std::min(units.end * S::kLanes, shape_.hidden);
    const int64_t pad = units.end == layout_.blocks ? kept_width() : end;
    for (int64_t r = 0; r < place.local_rows(shape_.batch); ++r) {
      const int64_t b = order_.rows[place.position(r)];
      float* cells = cells_ + b * kept_width();
      for (int64_t j = begin; j < end; ++j) cells[j] = sequence_.c0[b * shape_.hidden + j];
      for (int64_t j = end; j < pad; ++j) cells[j] = 0.0f;
      if (fed_ == nullptr) continue;
      for (int64_t j = outputs.begin; j < outputs.end; j += S::kLanes) {
        const int lanes = static_cast<int>(std::min<int64_t>(outputs.end - j, S::kLanes));
        const int64_t row = b * shape_.output;
        const float* mask = variant_.recurrent_mask;
        feed(fed_ + b * fed_width(), mask == nullptr ? nullptr : mask + row, j,
             load_some<S>(sequence_.h0 + row + j, lanes), lanes);
      }
    }
  }

  // Lists where each row of step s reads and writes. Sums of a chunk from step `first` on lie where
  // gates are kept, in a buffer of the chunk, or in the scratch of the block in hand.
  void list_rows(const Place& place, const Lists& lists, int64_t first, int64_t s, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t position = place.position(r);
      Row& row = lists.row[r];
      const Step step(sequence_, order_.rows[position], s);
      row.b = step.b;
      row.t = step.t;
      row.c_new = keeps() ? cells(step.t, step.b) : cells_ + step.b * kept_width();
      row.c_old = s == 0 || !keeps() ? cells_ + step.b * kept_width() : cells(step.before, step.b);
      row.h_old = s == 0 ? sequence_.h0 + step.b * shape_.output : out(step.before, step.b);
      row.h_new = out(step.t, step.b);
      row.shown = shape_.projects() ? shown_ + step.b * kept_width() : row.h_new;
      lists.h[r] = row.h_old;
      row.fed = nullptr;
      if (fed_ != nullptr) {
        // Two buffers in turn: others may still read the last one.
        const int64_t at = step.b * fed_width(), size = shape_.batch * fed_width();
        lists.h[r] = fed_ + s % 2 * size + at;
        row.fed = fed_ + (s + 1) % 2 * size + at;
        const float* mask = variant_.recurrent_mask;
        row.mask = mask == nullptr ? nullptr : mask + step.b * shape_.output;
      }
      if (step.reset) row.c_old = row.h_old = lists.h[r] = zeros_;
      if (narrow()) lists.x[r] = x_words(step, lists, r);
      row.gates = sums(first, s, position, step, lists, r);
      lists.block[r] = row.gates;
    }
  }

  float* sums(int64_t first, int64_t s, int64_t position, const Step& step, const Lists& lists,
              int64_t r) const {
    if (keeps()) return call_.kept.gates + (step.t * shape_.batch + step.b) * 4 * kept_width();
    if (narrow()) return lists.scratch + r * kScratch;
    return sums_ + ((s - first) * shape_.batch + position) * layout_.columns;
  }
  float* cells(int64_t t, int64_t b) const {
    return call_.kept.cells + (t * shape_.batch + b) * kept_width();
  }
  float* out(int64_t t, int64_t b) const {
    return call_.out + t * call_.out_step + b * call_.out_row;
  }
  // The inputs of a step as the product reads them, its number r among those that it reads.
  const float* x_words(const Step& step, const Lists& lists, int64_t r) const {
    if constexpr (W::kTerms == 1) return x(step);
    float* words = lists.x_words + r * x_width();
    W::store_row(words, x(step), shape_.input);
    return words;
  }
  const float* x(const Step& step) const {
    return sequence_.x + step.t * sequence_.x_step + step.b * sequence_.x_row;
  }

  // bias + weight_ih x of every row of the steps from first to last, into the sums.
  void add_inputs(const Place& place, const Range& units, const Lists& lists, int64_t first,
                  int64_t last) {
    int64_t count = 0;
    for (int64_t s = first; s < last; ++s)
      for (int64_t r = 0; r < place.local_rows(order_.running[s]); ++r) {
        const int64_t position = place.position(r);
        const Step step(sequence_, order_.rows[position], s);
        lists.x[count] = x_words(step, lists, count);
        lists.sums[count++] = sums(first, s, position, step, lists, r);
      }
    P::run(count, {lists.x, call_.packed, W::count(shape_.input), layout_.columns}, {},
           call_.packed + layout_.bias(), lists.sums, 0, units.begin * L::kBlock,
           units.end * L::kBlock);
  }

  // weight_hh h_{t-1} of the blocks from u to end, onto the sums; all of the sums where x is
  // narrow.
  void add_products(const Lists& lists, const Range& rows, int64_t u, int64_t end, int64_t offset) {
    const Factor from_h{lists.h + rows.begin, call_.packed + layout_.hh(), W::count(shape_.output),
                        layout_.columns};
    const Factor from_x{lists.x + rows.begin, call_.packed, narrow() ? W::count(shape_.input) : 0,
                        layout_.columns};
    P::run(rows.end - rows.begin, from_x, from_h,
           narrow() ? call_.packed + layout_.bias() : nullptr, lists.block + rows.begin, offset,
           u * L::kBlock, end * L::kBlock);
  }

  // The gates of block u of every row, whose sums start at the given column of the row's sums.
  void gates(const Lists& lists, const Range& rows, int64_t u, int64_t column) {
    const int64_t left = shape_.hidden - u * S::kLanes;
    const int lanes = static_cast<int>(std::min<int64_t>(left, S::kLanes));
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const Row& row = lists.row[r];
      if (plain_) {
        gates_of_row<true>(row, row.gates + column, u * S::kLanes, lanes);
      } else {
        gates_of_row<false>(row, row.gates + column, u * S::kLanes, lanes);
      }
    }
  }

  // Units from j on, `lanes` of which exist.
  template <bool kPlain>
  CAROUSEL_INLINE void gates_of_row(const Row& row, float* sums, int64_t j, int lanes) {
    // Units that do not exist are at 0, whatever 0 times an infinite input is.
    V i = load_some<S>(sums, lanes), f = load_some<S>(sums + S::kLanes, lanes);
    V g = load_some<S>(sums + 2 * S::kLanes, lanes), o = load_some<S>(sums + 3 * S::kLanes, lanes);
    const V c_old = S::load(row.c_old + j);
    if (!kPlain && variant_.peepholes) {
      i = S::fma(S::load(peephole_ + j), c_old, i);
      f = S::fma(S::load(peephole_ + kept_width() + j), c_old, f);
    }
    i = A::sigmoid(i);
    f = A::sigmoid(f);
    g = A::tanh(g);
    V c = S::fma(f, c_old, S::mul(i, g));
    if (!kPlain && variant_.cell_clip > 0.0f) c = clipped<S>(c, variant_.cell_clip);
    if (!kPlain && variant_.peepholes) o = S::fma(S::load(peephole_ + 2 * kept_width() + j), c, o);
    o = A::sigmoid(o);
    V h = S::mul(o, A::tanh(c));
    if (!kPlain) c = zoned_cell(row, c, c_old, j, lanes);
    S::store(row.c_new + j, c);
    if (keeps()) {
      S::store(sums, i);
      S::store(sums + S::kLanes, f);
      S::store(sums + 2 * S::kLanes, g);
      S::store(sums + 3 * S::kLanes, o);
    }
    if (shape_.projects()) {
      S::store(row.shown + j, h);
    } else {
      if (!kPlain) h = zoned_hidden(row, h, j, lanes);
      store_hidden(row, h, j, lanes);
    }
  }

  V zoned_cell(const Row& row, V c, V c_old, int64_t j, int lanes) const {
    const uint8_t* mask = variant_.zoneout_c_mask;
    if (mask != nullptr) mask += (row.t * shape_.batch + row.b) * shape_.hidden + j;
    if (mask == nullptr && variant_.zoneout_c == 0.0f) return c;
    return mixed<S>(c, c_old, kept_share<S>(mask, variant_.zoneout_c, lanes));
  }

  V zoned_hidden(const Row& row, V h, int64_t j, int lanes) const {
    const uint8_t* mask = variant_.zoneout_h_mask;
    if (mask != nullptr) mask += (row.t * shape_.batch + row.b) * shape_.output + j;
    if (mask == nullptr && variant_.zoneout_h == 0.0f) return h;
    return mixed<S>(h, load_some<S>(row.h_old + j, lanes),
                    kept_share<S>(mask, variant_.zoneout_h, lanes));
  }

  static void store_hidden(const Row& row, V h, int64_t j, int lanes) {
    store_some<S>(row.h_new + j, h, lanes);
    if (row.fed != nullptr) feed(row.fed, row.mask, j, h, lanes);
  }

  // m h, of units from j on, as the next step reads it. Units that do not exist have h = 0.
  static void feed(float* fed, const float* mask, int64_t j, V h, int lanes) {
    W::store(fed, j, mask == nullptr ? h : S::mul(h, load_some<S>(mask + j, lanes)));
  }

  // h_t = weight_hr (o tanh(c)), this member's share of the outputs.
  void project(const Lists& lists, int64_t rows, const Range& outputs) {
    for (int64_t r = 0; r < rows; ++r) {
      const Row& row = lists.row[r];
      lists.h[r] = row.shown;
      lists.block[r] = projected_ + row.b * layout_.output_floats;
    }
    P::run(rows, {lists.h, call_.packed + layout_.hr(), shape_.hidden, shape_.output}, {}, zeros_,
           lists.block, 0, outputs.begin, outputs.end);
    for (int64_t r = 0; r < rows; ++r) {
      const Row& row = lists.row[r];
      for (int64_t j = outputs.begin; j < outputs.end; j += S::kLanes) {
        const int lanes = static_cast<int>(std::min<int64_t>(outputs.end - j, S::kLanes));
        store_hidden(row, zoned_hidden(row, S::load(lists.block[r] + j), j, lanes), j, lanes);
      }
    }
  }

  // The final states, and zeros past the end of every sequence.
  void finish(Member member) {
    const Range batch = Range::share(shape_.batch, member.index, member.count);
    for (int64_t b = batch.begin; b < batch.end; ++b) {
      const int64_t length = sequence_.lengths == nullptr ? shape_.steps : sequence_.lengths[b];
      const int64_t last = sequence_.reverse ? 0 : length - 1;
      const float* h = length == 0 ? sequence_.h0 + b * shape_.output : out(last, b);
      const float* c = length == 0 || !keeps() ? cells_ + b * kept_width() : cells(last, b);
      copy(call_.h_n + b * shape_.output, h, shape_.output);
      copy(call_.c_n + b * shape_.hidden, c, shape_.hidden);
      for (int64_t t = length; t < shape_.steps; ++t)
        std::memset(out(t, b), 0, static_cast<size_t>(shape_.output) * sizeof(float));
    }
  }

  static void copy(float* to, const float* from, int64_t count) {
    if (to == from) return;  // a state that stays where it is
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  }

  const Forward call_;
  const Sequence& sequence_;
  const Shape& shape_;
  const Variant& variant_;
  const L layout_;
  const int64_t steps_;  // of a chunk
  const bool plain_;
  Order order_;
  Barrier* barriers_;
  float* zeros_;
  float* cells_;  // (B, padded(H)): c_0, and the present memory where nothing is kept
  Lists* lists_;
  const float* peephole_;
  float* fed_ = nullptr;        // (2, B, fed_width())
  float* shown_ = nullptr;      // (B, padded(H))
  float* projected_ = nullptr;  // (B, output_floats)
  float* sums_ = nullptr;       // (steps of a chunk, B, columns)
};

}  // namespace carousel
