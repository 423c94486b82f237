// One step of a few rows, straight from PyTorch's weights: nothing is packed, so nothing can be
// stale.
//
// A single step reads every weight once, and packing them would read and write them once more. A
// row of the weights is multiplied by the inputs as both lie in memory, lane by lane, and the lanes
// are summed at the end. That is another order than Product's: results differ from those of packed
// weights by rounding. They do not depend on the number of rows or of threads.
#pragma once

#include <algorithm>

#include "activations.h"
#include "lstm.h"
#include "schedule.h"

namespace carousel {

template <class S>
class SingleStep {
  using V = typename S::V;
  using A = Activations<S>;

 public:
  explicit SingleStep(const Single& call) : call_(call) {}

  // The share of one of several members; they need not wait for each other.
  void run(Member member) const {
    const int64_t H = call_.shape.hidden;
    const Range blocks = Range::share((H + S::kLanes - 1) / S::kLanes, member.index, member.count);
    for (int64_t u = blocks.begin; u < blocks.end; ++u)
      for (int64_t b = 0; b < call_.shape.batch; ++b) block(u * S::kLanes, b);
  }

 private:
  // Units from j on of row b.
  void block(int64_t j, int64_t b) const {
    const int64_t H = call_.shape.hidden;
    const int lanes = static_cast<int>(std::min<int64_t>(H - j, S::kLanes));
    const float* x = call_.x + b * call_.x_row;
    const float* h = call_.h0 == nullptr ? nullptr : call_.h0 + b * H;
    V sum[4];
    for (int gate = 0; gate < 4; ++gate)
      sum[gate] = S::add(bias(gate * H + j, lanes), products(x, h, gate * H + j, lanes));
    const V c_old = call_.c0 == nullptr ? S::zero() : S::load_first(call_.c0 + b * H + j, lanes);
    const V i = A::sigmoid(sum[0]), f = A::sigmoid(sum[1]);
    const V c = S::fma(f, c_old, S::mul(i, A::tanh(sum[2])));
    const V h_n = S::mul(A::sigmoid(sum[3]), A::tanh(c));
    S::store_first(call_.c_n + b * H + j, c, lanes);
    S::store_first(call_.h_n + b * H + j, h_n, lanes);
    if (call_.out != nullptr) S::store_first(call_.out + b * H + j, h_n, lanes);
  }

  V bias(int64_t row, int lanes) const {
    V sum = S::zero();
    if (call_.weights.bias_ih != nullptr)
      sum = S::add(sum, S::load_first(call_.weights.bias_ih + row, lanes));
    if (call_.weights.bias_hh != nullptr)
      sum = S::add(sum, S::load_first(call_.weights.bias_hh + row, lanes));
    return sum;
  }

  // weight_ih x + weight_hh h of as many rows as there are lanes; `rows` of them exist.
  V products(const float* x, const float* h, int64_t first, int rows) const {
    V sum[S::kLanes];
    for (V& s : sum) s = S::zero();
    add(call_.weights.weight_ih, call_.shape.input, x, first, rows, sum);
    if (h != nullptr) add(call_.weights.weight_hh, call_.shape.hidden, h, first, rows, sum);
    float lines[S::kLanes * S::kLanes];
    for (int r = 0; r < S::kLanes; ++r) S::store(lines + r * S::kLanes, sum[r]);
    V column[S::kLanes];
    S::transpose(lines, S::kLanes, column);
    for (int half = S::kLanes / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) column[k] = S::add(column[k], column[k + half]);
    return column[0];
  }

  static void add(const float* weight, int64_t depth, const float* values, int64_t first, int rows,
                  V (&sum)[S::kLanes]) {
    const float* row[S::kLanes];  // those that do not exist are the last one again
    for (int r = 0; r < S::kLanes; ++r) row[r] = weight + (first + std::min(r, rows - 1)) * depth;
    int64_t k = 0;
    for (; k + S::kLanes <= depth; k += S::kLanes) {
      const V value = S::load(values + k);
      for (int r = 0; r < S::kLanes; ++r) sum[r] = S::fma(value, S::load(row[r] + k), sum[r]);
    }
    const int left = static_cast<int>(depth - k);
    if (left == 0) return;
    const V value = S::load_first(values + k, left);
    for (int r = 0; r < S::kLanes; ++r)
      sum[r] = S::fma(value, S::load_first(row[r] + k, left), sum[r]);
  }

  const Single& call_;
};

}  // namespace carousel
