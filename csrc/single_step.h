// One step of a few rows, straight from PyTorch's weights: nothing is packed, so nothing can be
// stale.
//
// A single step reads every weight once, and packing them would read and write them once more. Here
// tiles of the weights are transposed in registers instead. Sums are made in the same order as by
// Product, so the numbers are those of the packed pass, bit for bit.
#pragma once

#include <algorithm>
#include <cstring>

#include "activations.h"
#include "lstm.h"
#include "product.h"
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
    const int64_t H = call_.shape.hidden, I = call_.shape.input;
    const int lanes = static_cast<int>(std::min<int64_t>(H - j, S::kLanes));
    V sum[4];
    for (int gate = 0; gate < 4; ++gate) sum[gate] = bias(gate * H + j, lanes);
    const float* x = call_.x + b * call_.x_row;
    const float* h = call_.h0 + b * H;
    if (I <= kNarrow && H <= kDepth) {  // one chain through both, as in Product
      V chain[4] = {S::zero(), S::zero(), S::zero(), S::zero()};
      accumulate(call_.weights.weight_ih, I, x, 0, I, j, lanes, chain);
      accumulate(call_.weights.weight_hh, H, h, 0, H, j, lanes, chain);
      for (int gate = 0; gate < 4; ++gate) sum[gate] = S::add(sum[gate], chain[gate]);
    } else {
      blocked(call_.weights.weight_ih, I, x, j, lanes, sum);
      blocked(call_.weights.weight_hh, H, h, j, lanes, sum);
    }
    const V i = A::sigmoid(sum[0]), f = A::sigmoid(sum[1]);
    const V c = S::fma(f, S::load_first(call_.c0 + b * H + j, lanes), S::mul(i, A::tanh(sum[2])));
    const V h_n = S::mul(A::sigmoid(sum[3]), A::tanh(c));
    S::store_first(call_.c_n + b * H + j, c, lanes);
    S::store_first(call_.h_n + b * H + j, h_n, lanes);
  }

  V bias(int64_t row, int lanes) const {
    V sum = S::zero();
    if (call_.weights.bias_ih != nullptr)
      sum = S::add(sum, S::load_first(call_.weights.bias_ih + row, lanes));
    if (call_.weights.bias_hh != nullptr)
      sum = S::add(sum, S::load_first(call_.weights.bias_hh + row, lanes));
    return sum;
  }

  void blocked(const float* weight, int64_t depth, const float* values, int64_t j, int lanes,
               V (&sum)[4]) const {
    for (int64_t k = 0; k < depth; k += kDepth) {
      V chain[4] = {S::zero(), S::zero(), S::zero(), S::zero()};
      accumulate(weight, depth, values, k, std::min(k + kDepth, depth), j, lanes, chain);
      for (int gate = 0; gate < 4; ++gate) sum[gate] = S::add(sum[gate], chain[gate]);
    }
  }

  // Terms from begin to end of the four gates' sums, each in the order of the terms.
  void accumulate(const float* weight, int64_t depth, const float* values, int64_t begin,
                  int64_t end, int64_t j, int lanes, V (&chain)[4]) const {
    int64_t k = begin;
    if (lanes == S::kLanes)
      for (; k + S::kLanes <= end; k += S::kLanes)
        for (int gate = 0; gate < 4; ++gate) {
          V column[S::kLanes];
          S::transpose(weight + (gate * call_.shape.hidden + j) * depth + k, depth, column);
          for (int i = 0; i < S::kLanes; ++i)
            chain[gate] = S::fma(S::broadcast(values + k + i), column[i], chain[gate]);
        }
    for (; k < end; ++k)
      for (int gate = 0; gate < 4; ++gate) {
        float lane[S::kLanes] = {};
        for (int i = 0; i < lanes; ++i)
          lane[i] = weight[(gate * call_.shape.hidden + j + i) * depth + k];
        chain[gate] = S::fma(S::broadcast(values + k), S::load(lane), chain[gate]);
      }
  }

  const Single& call_;
};

}  // namespace carousel
