// The gradients of all weights of a layer, chunk by chunk of the backward pass.
//
// Knows nothing of time: it is handed the rows of a chunk, each with its slopes (the gradients of
// the four sums) and pointers to what was multiplied by the weights there.
#pragma once

#include <algorithm>

#include "lstm.h"
#include "outer.h"
#include "packing.h"
#include "schedule.h"
#include "variants.h"

namespace carousel {

// One row of one step of a chunk.
struct ChunkRow {
  int64_t b, t;
  bool reset;          // whether the state before the step was zeroed
  const float* gates;  // (4 * padded(H))
  const float* c_old;  // (padded(H))
  const float* c_new;
  const float* h_old;  // (P)
  float* slopes;       // (4 * padded(H))
  float* words;        // the same as factors of products
};

template <class S>
class WeightGradients {
  using V = typename S::V;
  using L = Layout<S>;
  using O = Outer<S>;

 public:
  WeightGradients(const Backward& call, int64_t most_rows, int members, Workspace& workspace)
      : call_(call),
        shape_(call.sequence.shape),
        variant_(call.sequence.variant),
        layout_(shape_),
        wanted_(call.grad_weight_hh != nullptr) {
    if (!wanted_) return;
    lists_ = workspace.take<Lists>(members);
    for (int m = 0; m < members; ++m) {
      Lists lists{workspace.take<const float*>(most_rows), workspace.take<const float*>(most_rows),
                  workspace.take<const float*>(most_rows)};
      if (lists_ != nullptr) lists_[m] = lists;
    }
    left_ = workspace.take<float>(most_rows * layout_.columns);
    right_ = workspace.take<float>(O::right_floats(shape_.output + shape_.input, most_rows));
    if (!shape_.projects()) return;
    left_out_ = workspace.take<float>(most_rows * padded(shape_.output));
    right_shown_ = workspace.take<float>(O::right_floats(shape_.hidden, most_rows));
  }

  bool wanted() const { return wanted_; }

  // What is read from the rows; every member does its share, and then the team waits. For a layer
  // that projects, grad_out and shown hold the gradient behind the projection and what was
  // projected, a row each, of the given widths.
  void pack(Member member, const ChunkRow* rows, int64_t count, bool add, const float* grad_out,
            int64_t grad_out_width, const float* shown, int64_t shown_width) {
    const Lists& lists = lists_[member.index];
    const Range blocks = Range::share(layout_.columns / kLine, member.index, member.count);
    for (int64_t r = 0; r < count; ++r) lists.row[r] = rows[r].slopes;
    O::pack_left(lists.row, count, blocks.begin * kLine, blocks.end * kLine, left_);

    const float* mask = variant_.recurrent_mask;
    for (int64_t r = 0; r < count; ++r) {
      lists.row[r] = rows[r].h_old;
      lists.scale[r] = mask == nullptr ? nullptr : mask + rows[r].b * shape_.output;
      lists.other[r] =
          call_.sequence.x + rows[r].t * call_.sequence.x_step + rows[r].b * call_.sequence.x_row;
    }
    const RightRows hidden{lists.row, mask == nullptr ? nullptr : lists.scale, shape_.output};
    pack_right(member, hidden, {lists.other, nullptr, shape_.input}, count, right_);
    if (shape_.projects()) {
      const Range lines = Range::share(padded(shape_.output) / kLine, member.index, member.count);
      for (int64_t r = 0; r < count; ++r) lists.row[r] = grad_out + r * grad_out_width;
      O::pack_left(lists.row, count, lines.begin * kLine, lines.end * kLine, left_out_);
      for (int64_t r = 0; r < count; ++r) lists.row[r] = shown + r * shown_width;
      pack_right(member, {lists.row, nullptr, shape_.hidden}, {}, count, right_shown_);
    }
    add_vectors(member, rows, count, add);
  }

  // The products of what was packed, set or added to; every member does its share.
  void multiply(Member member, int64_t count, bool add) {
    // The rows of a tile are units of one gate, side by side in the matrix too.
    const auto gates = [this](int64_t column) {
      const int64_t unit = column / L::kBlock * S::kLanes + column % S::kLanes;
      const int64_t gate = column / S::kLanes % 4;
      return Rows{gate * shape_.hidden + unit, shape_.hidden - unit};
    };
    const auto outputs = [this](int64_t column) { return Rows{column, shape_.output - column}; };
    tiles(member, left_, layout_.columns, right_, count, add, gates,
          {call_.grad_weight_hh, shape_.output}, {call_.grad_weight_ih, shape_.input});
    if (shape_.projects())
      tiles(member, left_out_, padded(shape_.output), right_shown_, count, add, outputs,
            {call_.grad_weight_hr, shape_.hidden}, {});
  }

  // Where there was not one step.
  void zero() {
    const int64_t gates = 4 * shape_.hidden;
    std::fill_n(call_.grad_weight_ih, gates * shape_.input, 0.0f);
    std::fill_n(call_.grad_weight_hh, gates * shape_.output, 0.0f);
    std::fill_n(call_.grad_bias, gates, 0.0f);
    if (shape_.projects()) std::fill_n(call_.grad_weight_hr, shape_.output * shape_.hidden, 0.0f);
    if (variant_.peepholes) std::fill_n(call_.grad_peephole, 3 * shape_.hidden, 0.0f);
  }

 private:
  static constexpr int64_t kLine = 16;

  struct Rows {
    int64_t first, left;  // in the matrix; the rows of a tile that exist are fewer than those left
  };
  struct Lists {
    const float** row;
    const float** scale;
    const float** other;
  };

  void pack_right(Member member, const RightRows& one, const RightRows& other, int64_t count,
                  float* packed) {
    const Range panels =
        Range::share(O::panels(one.columns + other.columns), member.index, member.count);
    O::pack_right(one, other, count, panels.begin, panels.end, packed);
  }

  // left^T right into two matrices side by side; a panel of the right factor stays in the
  // first-level cache while all tiles of the left one pass.
  template <class RowsOf>
  void tiles(Member member, const float* left, int64_t left_columns, const float* right,
             int64_t count, bool add, RowsOf rows_of, const Sums& one, const Sums& other) {
    const Range mine = Range::share(left_columns / O::kRows, member.index, member.count);
    for (int64_t p = 0; p < O::panels(one.columns + other.columns); ++p)
      for (int64_t tile = mine.begin; tile < mine.end; ++tile) {
        const Rows rows = rows_of(tile * O::kRows);
        if (rows.left <= 0) continue;
        O::tile(left + tile * O::kRows * Words<S>::count(count), right, count, add, p,
                {one.matrix + rows.first * one.columns, one.columns},
                {other.matrix + rows.first * other.columns, other.columns},
                static_cast<int>(std::min<int64_t>(rows.left, O::kRows)));
      }
  }

  // The gradients of biases and peepholes: sums over the rows, this member's blocks of units.
  void add_vectors(Member member, const ChunkRow* rows, int64_t count, bool add) {
    const Range blocks = Range::share(layout_.blocks, member.index, member.count);
    for (int64_t u = blocks.begin; u < blocks.end; ++u) {
      const int64_t j = u * S::kLanes;
      V sum[4] = {S::zero(), S::zero(), S::zero(), S::zero()};
      V peephole[3] = {S::zero(), S::zero(), S::zero()};
      for (int64_t r = 0; r < count; ++r) {
        const float* slopes = rows[r].slopes + 4 * j;
        V slope[4];
        for (int gate = 0; gate < 4; ++gate) {
          slope[gate] = S::load(slopes + gate * S::kLanes);
          sum[gate] = S::add(sum[gate], slope[gate]);
        }
        if (!variant_.peepholes) continue;
        const V c_old = S::load(rows[r].c_old + j);
        peephole[0] = S::fma(slope[0], c_old, peephole[0]);
        peephole[1] = S::fma(slope[1], c_old, peephole[1]);
        peephole[2] = S::fma(slope[3], cell_shown(rows[r], c_old, j), peephole[2]);
      }
      for (int gate = 0; gate < 4; ++gate)
        put(call_.grad_bias + gate * shape_.hidden, j, sum[gate], add);
      if (!variant_.peepholes) continue;
      for (int k = 0; k < 3; ++k) put(call_.grad_peephole + k * shape_.hidden, j, peephole[k], add);
    }
  }

  // The memory cell before zoneout, which the output gate saw.
  V cell_shown(const ChunkRow& row, V c_old, int64_t j) const {
    const float* gates = row.gates + 4 * j;
    const V c = S::fma(S::load(gates + S::kLanes), c_old,
                       S::mul(S::load(gates), S::load(gates + 2 * S::kLanes)));
    return variant_.cell_clip == 0.0f ? c : clipped<S>(c, variant_.cell_clip);
  }

  void put(float* to, int64_t j, V value, bool add) const {
    const int n = static_cast<int>(std::min<int64_t>(shape_.hidden - j, S::kLanes));
    S::store_first(to + j, add ? S::add(S::load_first(to + j, n), value) : value, n);
  }

  const Backward& call_;
  const Shape& shape_;
  const Variant& variant_;
  const L layout_;
  const bool wanted_;
  Lists* lists_ = nullptr;
  float* left_ = nullptr;         // slopes, in tiles
  float* right_ = nullptr;        // hidden states before the step, and inputs, in panels
  float* left_out_ = nullptr;     // gradients behind the projection, in tiles
  float* right_shown_ = nullptr;  // what was projected, in panels
};

}  // namespace carousel
