// The backward pass: all gradients of one layer in one direction. README.md derives it.
//
// Steps are taken from the last to the first, in chunks of some hundred rows. Within a chunk each
// step turns the gradients of h_t and c_t into those of the four sums (its rows of `slopes`) and of
// h_{t-1} and c_{t-1}. At the end of a chunk, while its slopes are in the cache, they become the
// gradients of the inputs and are added to those of the weights: no slopes of all steps are ever
// kept.
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
#include "weight_gradients.h"

namespace carousel {

template <class S>
class BackwardPass {
  using V = typename S::V;
  using P = Product<S>;
  using L = Layout<S>;
  using A = Activations<S>;
  using W = Words<S>;

 public:
  BackwardPass(const Backward& call, int members, Workspace& workspace)
      : call_(call),
        sequence_(call_.sequence),
        shape_(sequence_.shape),
        variant_(sequence_.variant),
        layout_(shape_),
        plain_(is_plain(variant_)),
        most_rows_(std::max(shape_.batch, std::min(kChunkRows, shape_.batch * shape_.steps))),
        order_(Order::take(workspace, shape_)),
        barriers_(workspace.take<Barrier>(members + 1)),
        zeros_(workspace.take<float>(zero_floats())),
        c0_(workspace.take<float>(shape_.batch * width())),
        grad_h_(workspace.take<float>(shape_.batch * layout_.output_floats)),
        grad_c_(workspace.take<float>(shape_.batch * width())),
        slopes_(workspace.take<float>(most_rows_ * slope_floats())),
        words_(S::kPairs ? workspace.take<float>(most_rows_ * word_floats()) : nullptr),
        rows_(workspace.take<ChunkRow>(most_rows_)),
        lists_(workspace.take<Lists>(members)),
        weights_(call_, most_rows_, members, workspace) {
    if (zones_hidden()) carry_ = workspace.take<float>(shape_.batch * layout_.output_floats);
    if (shape_.projects()) {
      grad_out_ = workspace.take<float>(most_rows_ * layout_.output_floats);
      shown_ = workspace.take<float>(most_rows_ * width());
      grad_shown_ = workspace.take<float>(shape_.batch * layout_.hidden_floats());
    }
    for (int m = 0; m < members; ++m) {
      Lists lists;
      lists.from = workspace.take<const float*>(most_rows_);
      lists.to = workspace.take<float*>(most_rows_);
      lists.edge = workspace.take<float>(most_rows_ * P::kPanel);
      if (lists_ != nullptr) lists_[m] = lists;
    }
    peephole_ = call_.packed + layout_.peephole_back();
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
    const Lists& lists = lists_[member.index];
    const Share units = Share::of(place, shape_.hidden, P::kPanel, S::kLanes),
                outputs = Share::of(place, shape_.output, P::kPanel, S::kLanes);
    start(place, units, outputs);
    if (order_.longest == 0 && weights_.wanted() && member.index == 0) weights_.zero();
    for (int64_t last = order_.longest; last > 0;) {
      const int64_t first = chunk_before(last);
      int64_t row = 0;
      for (int64_t s = last - 1; s >= first; --s) {
        step(place, lists, units, outputs, s, row);
        row += order_.running[s];
      }
      place.wait_for_team();  // the slopes of the chunk are whole
      if (call_.grad_x != nullptr) input_gradients(member, lists, row);
      const bool add = last < order_.longest;
      if (weights_.wanted())
        weights_.pack(member, rows_, row, add, grad_out_, layout_.output_floats, shown_, width());
      place.wait_for_team();  // the slopes may be overwritten
      if (weights_.wanted()) weights_.multiply(member, row, add);
      last = first;
    }
    place.wait_for_team();
    finish(member);
  }

 private:
  static constexpr int64_t kChunkRows = 512;

  struct Lists {
    const float** from;
    float** to;
    float* edge;  // the last panel of grad_x, where it is not whole
  };

  bool zones_hidden() const {
    return variant_.zoneout_h != 0.0f || variant_.zoneout_h_mask != nullptr;
  }
  int64_t width() const { return padded(shape_.hidden); }
  // One cache line more than there are slopes: rows a power of two apart would evict each other.
  int64_t slope_floats() const { return 4 * width() + kUnitPadding; }
  int64_t word_floats() const { return W::count(4 * width()) + kUnitPadding; }
  int64_t zero_floats() const {
    return std::max(
        {width(), layout_.output_floats, layout_.input_floats, layout_.hidden_floats()});
  }

  // The first step of the chunk that ends before `last`.
  int64_t chunk_before(int64_t last) const {
    int64_t first = last - 1, rows = order_.running[first];
    while (first > 0 && rows + order_.running[first - 1] <= kChunkRows)
      rows += order_.running[--first];
    return first;
  }

  void start(const Place& place, const Share& units, const Share& outputs) {
    for (int64_t r = 0; r < place.local_rows(shape_.batch); ++r) {
      const int64_t b = order_.rows[place.position(r)];
      fill(c0_ + b * width(), sequence_.c0 + b * shape_.hidden, units, width());
      fill(grad_c_ + b * width(), row_or_null(call_.grad_c_n, b * shape_.hidden), units, width());
      fill(grad_h_ + b * layout_.output_floats, row_or_null(call_.grad_h_n, b * shape_.output),
           outputs, layout_.output_floats);
    }
  }

  static const float* row_or_null(const float* p, int64_t offset) {
    return p == nullptr ? nullptr : p + offset;
  }

  // A member's columns of a row, zeros where there is no source and behind the last column.
  static void fill(float* to, const float* from, const Share& columns, int64_t floats) {
    const int64_t padding = std::min(columns.whole, floats);
    for (int64_t j = columns.begin; j < padding; ++j)
      to[j] = from != nullptr && j < columns.end ? from[j] : 0.0f;
  }

  const float* cells(int64_t t, int64_t b) const {
    return call_.kept.cells + (t * shape_.batch + b) * width();
  }

  // The slopes of step s, whose first row is row number `first` of the chunk, and the gradients of
  // the state before it.
  void step(const Place& place, const Lists& lists, const Share& units, const Share& outputs,
            int64_t s, int64_t first) {
    const int64_t rows = place.local_rows(order_.running[s]);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t position = place.position(r);
      const ChunkRow row = row_at(s, position, first);
      if (place.unit_group == 0) rows_[first + position] = row;
      lists.to[r] = grad_h_ + row.b * layout_.output_floats;
    }
    if (shape_.projects()) through_projection(place, lists, units, outputs, s, first, rows);
    for (int64_t r = 0; r < rows; ++r) {
      const ChunkRow row = row_at(s, place.position(r), first);
      for (int64_t j = units.begin; j < units.end; j += S::kLanes) {
        const int lanes = static_cast<int>(std::min<int64_t>(shape_.hidden - j, S::kLanes));
        const V grad_shown = shape_.projects()
                                 ? S::load(grad_shown_ + row.b * layout_.hidden_floats() + j)
                                 : gradient_of_shown(row, j, lanes);
        if (plain_) {
          slopes_of_row<true>(row, grad_shown, j, lanes, first + place.position(r));
        } else {
          slopes_of_row<false>(row, grad_shown, j, lanes, first + place.position(r));
        }
      }
    }
    place.wait_for_group();  // the slopes of these rows are whole
    for (int64_t r = 0; r < rows; ++r) lists.from[r] = words_of(first + place.position(r));
    P::run(rows, {lists.from, call_.packed, W::count(layout_.columns), shape_.output}, {}, zeros_,
           lists.to, 0, outputs.begin, outputs.end);
    if (carry_ != nullptr || variant_.recurrent_mask != nullptr || sequence_.reset != nullptr)
      for (int64_t r = 0; r < rows; ++r)
        before_the_step(row_at(s, place.position(r), first), units, outputs);
  }

  ChunkRow row_at(int64_t s, int64_t position, int64_t first) const {
    const Step step(sequence_, order_.rows[position], s);
    ChunkRow row;
    row.b = step.b;
    row.t = step.t;
    row.reset = step.reset;
    row.gates = call_.kept.gates + (step.t * shape_.batch + step.b) * 4 * width();
    row.c_new = cells(step.t, step.b);
    row.c_old = s == 0 ? c0_ + step.b * width() : cells(step.before, step.b);
    row.h_old = s == 0 ? sequence_.h0 + step.b * shape_.output
                       : call_.out + step.before * call_.out_step + step.b * call_.out_row;
    if (step.reset) row.c_old = row.h_old = zeros_;
    row.slopes = slopes_ + (first + position) * slope_floats();
    row.words = words_of(first + position);
    return row;
  }

  // The slopes of a row of the chunk, as factors.
  float* words_of(int64_t number) const {
    return S::kPairs ? words_ + number * word_floats() : slopes_ + number * slope_floats();
  }

  // The gradient of h before zoneout, from those of h_t; the old value's share goes into the carry.
  V gradient_of_shown(const ChunkRow& row, int64_t j, int lanes) {
    V grad = S::load(grad_h_ + row.b * layout_.output_floats + j);
    if (call_.grad_out != nullptr) {
      const float* from =
          call_.grad_out + row.t * call_.grad_out_step + row.b * call_.grad_out_row + j;
      grad = S::add(grad, load_some<S>(from, lanes));
    }
    if (carry_ == nullptr) return grad;
    const uint8_t* mask = variant_.zoneout_h_mask;
    if (mask != nullptr) mask += (row.t * shape_.batch + row.b) * shape_.output + j;
    const V share = kept_share<S>(mask, variant_.zoneout_h, lanes);
    S::store(carry_ + row.b * layout_.output_floats + j, S::mul(share, grad));
    return S::mul(S::sub(S::set(1.0f), share), grad);
  }

  void through_projection(const Place& place, const Lists& lists, const Share& units,
                          const Share& outputs, int64_t s, int64_t first, int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t position = place.position(r);
      const ChunkRow row = row_at(s, position, first);
      float* grad = grad_out_ + (first + position) * layout_.output_floats;
      for (int64_t j = outputs.begin; j < outputs.whole; j += S::kLanes) {
        const int lanes = static_cast<int>(std::min<int64_t>(shape_.output - j, S::kLanes));
        S::store(grad + j, lanes > 0 ? gradient_of_shown(row, j, lanes) : S::zero());
      }
      lists.from[r] = grad;
      lists.to[r] = grad_shown_ + row.b * layout_.hidden_floats();
    }
    place.wait_for_group();
    P::run(rows, {lists.from, call_.packed + layout_.hr_back(), shape_.output, shape_.hidden}, {},
           zeros_, lists.to, 0, units.begin, units.end);
    for (int64_t r = 0; r < rows; ++r)
      lists.to[r] = grad_h_ + order_.rows[place.position(r)] * layout_.output_floats;
  }

  // The slopes of units from j on, and the gradient of their memory before the step.
  template <bool kPlain>
  CAROUSEL_INLINE void slopes_of_row(const ChunkRow& row, V grad_h, int64_t j, int lanes,
                                     int64_t number) {
    const V one = S::set(1.0f);
    const float* gates = row.gates + 4 * j;
    const V i = S::load(gates), f = S::load(gates + S::kLanes);
    const V g = S::load(gates + 2 * S::kLanes), o = S::load(gates + 3 * S::kLanes);
    const V c_old = S::load(row.c_old + j);
    const bool recomputes = !kPlain && (variant_.cell_clip > 0.0f || zones_cell());
    const V raw = recomputes ? S::fma(f, c_old, S::mul(i, g)) : S::load(row.c_new + j);
    V c = raw;  // what the output gate shows
    if (!kPlain && variant_.cell_clip > 0.0f) c = clipped<S>(raw, variant_.cell_clip);
    const V shown = A::tanh(c);
    if (shape_.projects()) S::store(shown_ + number * width() + j, S::mul(o, shown));

    const V slope_o = S::mul(S::mul(grad_h, shown), S::mul(o, S::sub(one, o)));
    const V after = S::load(grad_c_ + row.b * width() + j);
    V kept = S::zero();
    V grad_c = after;
    if (!kPlain && zones_cell()) {
      const uint8_t* mask = variant_.zoneout_c_mask;
      if (mask != nullptr) mask += (row.t * shape_.batch + row.b) * shape_.hidden + j;
      const V share = kept_share<S>(mask, variant_.zoneout_c, lanes);
      kept = S::mul(share, after);
      grad_c = S::mul(S::sub(one, share), after);
    }
    grad_c = S::fma(S::mul(grad_h, o), S::fnma(shown, shown, one), grad_c);
    if (!kPlain && variant_.peepholes)
      grad_c = S::fma(S::load(peephole_ + 2 * width() + j), slope_o, grad_c);
    if (!kPlain && variant_.cell_clip > 0.0f)
      grad_c = S::where_within(raw, variant_.cell_clip, grad_c);
    const V slope_i = S::mul(S::mul(grad_c, g), S::mul(i, S::sub(one, i)));
    const V slope_f = S::mul(S::mul(grad_c, c_old), S::mul(f, S::sub(one, f)));
    const V slope_g = S::mul(S::mul(grad_c, i), S::fnma(g, g, one));
    V before = kPlain ? S::mul(grad_c, f) : S::fma(grad_c, f, kept);
    if (!kPlain && variant_.peepholes) {
      before = S::fma(S::load(peephole_ + j), slope_i, before);
      before = S::fma(S::load(peephole_ + width() + j), slope_f, before);
    }
    float* slopes = row.slopes + 4 * j;
    S::store(slopes, slope_i);
    S::store(slopes + S::kLanes, slope_f);
    S::store(slopes + 2 * S::kLanes, slope_g);
    S::store(slopes + 3 * S::kLanes, slope_o);
    if constexpr (S::kPairs) {
      W::store(row.words, 4 * j, slope_i);
      W::store(row.words, 4 * j + S::kLanes, slope_f);
      W::store(row.words, 4 * j + 2 * S::kLanes, slope_g);
      W::store(row.words, 4 * j + 3 * S::kLanes, slope_o);
    }
    S::store(grad_c_ + row.b * width() + j, before);
  }

  bool zones_cell() const {
    return variant_.zoneout_c != 0.0f || variant_.zoneout_c_mask != nullptr;
  }

  // What happened between the steps: dropout of h, zoneout's carry, a reset.
  void before_the_step(const ChunkRow& row, const Share& units, const Share& outputs) {
    float* grad_h = grad_h_ + row.b * layout_.output_floats;
    if (row.reset) {
      std::fill(grad_h + outputs.begin, grad_h + outputs.whole, 0.0f);
      std::fill(grad_c_ + row.b * width() + units.begin, grad_c_ + row.b * width() + units.end,
                0.0f);
      return;
    }
    const float* mask = row_or_null(variant_.recurrent_mask, row.b * shape_.output);
    const float* carry = row_or_null(carry_, row.b * layout_.output_floats);
    for (int64_t j = outputs.begin; j < outputs.end; ++j) {
      const float through = mask == nullptr ? grad_h[j] : grad_h[j] * mask[j];
      grad_h[j] = carry == nullptr ? through : through + carry[j];
    }
  }

  // grad_x of the chunk: slopes times weight_ih, this member's share of the rows.
  void input_gradients(Member member, const Lists& lists, int64_t count) {
    const Range mine = Range::share(count, member.index, member.count);
    const int64_t rows = mine.end - mine.begin, whole = shape_.input / P::kPanel;
    for (int64_t r = 0; r < rows; ++r) {
      const ChunkRow& row = rows_[mine.begin + r];
      lists.from[r] = row.words;
      lists.to[r] = call_.grad_x + (row.t * shape_.batch + row.b) * shape_.input;
    }
    const Factor slopes{lists.from, call_.packed + layout_.ih_back(), W::count(layout_.columns),
                        shape_.input};
    P::run(rows, slopes, {}, zeros_, lists.to, 0, 0, whole * P::kPanel);
    const int64_t left = shape_.input - whole * P::kPanel;
    if (left == 0) return;
    for (int64_t r = 0; r < rows; ++r) lists.to[r] = lists.edge + r * P::kPanel;
    P::run(rows, slopes, {}, zeros_, lists.to, whole * P::kPanel, whole * P::kPanel, shape_.input);
    for (int64_t r = 0; r < rows; ++r) {
      const ChunkRow& row = rows_[mine.begin + r];
      float* to = call_.grad_x + (row.t * shape_.batch + row.b) * shape_.input + whole * P::kPanel;
      std::memcpy(to, lists.to[r], static_cast<size_t>(left) * sizeof(float));
    }
  }

  // The gradients of the first state, and zeros in grad_x past the end of every sequence.
  void finish(Member member) {
    const Range batch = Range::share(shape_.batch, member.index, member.count);
    for (int64_t b = batch.begin; b < batch.end; ++b) {
      const float* grad_h = grad_h_ + b * layout_.output_floats;
      std::copy(grad_h, grad_h + shape_.output, call_.grad_h0 + b * shape_.output);
      const float* grad_c = grad_c_ + b * width();
      std::copy(grad_c, grad_c + shape_.hidden, call_.grad_c0 + b * shape_.hidden);
      if (call_.grad_x == nullptr || sequence_.lengths == nullptr) continue;
      for (int64_t t = sequence_.lengths[b]; t < shape_.steps; ++t)
        std::fill_n(call_.grad_x + (t * shape_.batch + b) * shape_.input, shape_.input, 0.0f);
    }
  }

  const Backward call_;
  const Sequence& sequence_;
  const Shape& shape_;
  const Variant& variant_;
  const L layout_;
  const bool plain_;
  const int64_t most_rows_;  // of a chunk
  Order order_;
  Barrier* barriers_;
  float* zeros_;
  float* c0_;      // (B, padded(H))
  float* grad_h_;  // (B, output_floats), of h before the step that was done last
  float* grad_c_;  // (B, padded(H))
  float* slopes_;  // (rows of a chunk, slope_floats())
  float* words_;   // the same as factors, (rows of a chunk, word_floats()), where those are pairs
  ChunkRow* rows_;
  Lists* lists_;
  WeightGradients<S> weights_;
  const float* peephole_;
  float* carry_ = nullptr;       // (B, output_floats), zoneout's share of grad_h_
  float* grad_out_ = nullptr;    // (rows of a chunk, output_floats), behind the projection
  float* shown_ = nullptr;       // (rows of a chunk, padded(H)), before it
  float* grad_shown_ = nullptr;  // (B, hidden_floats)
};

}  // namespace carousel
