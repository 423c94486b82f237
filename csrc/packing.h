// Weights in the order in which the products read them.
//
// A block of units is S::kLanes hidden units; its 4 * kLanes columns are the gates i, f, g, o of
// the block, one after the other, so that a block's sums lie side by side when its gates are
// computed. Units past H have weights and biases of 0: their gates are finite, their cells 0, their
// gradients 0.
#pragma once

#include <algorithm>
#include <cstring>

#include "lstm.h"
#include "product.h"

namespace carousel {

// Where the parts of a packed layer start, in floats from its beginning.
template <class S>
struct Layout {
  using P = Product<S>;
  using W = Words<S>;
  static constexpr int64_t kBlock = 4 * S::kLanes;             // columns of one block of units
  static constexpr int64_t kBlockPanels = kBlock / P::kPanel;  // and its panels
  static_assert(kBlock % P::kPanel == 0, "a block of units is whole panels");

  int64_t blocks;         // of units
  int64_t columns;        // of all gates
  int64_t output_floats;  // columns of h, in whole panels
  int64_t input_floats;   // columns of x, in whole panels

  explicit Layout(const Shape& shape)
      : blocks((shape.hidden + S::kLanes - 1) / S::kLanes),
        columns(blocks * kBlock),
        output_floats(whole_panels(shape.output)),
        input_floats(whole_panels(shape.input)),
        shape_(shape) {}

  // Forward: weight_ih (I, columns), weight_hh (P, columns), bias (columns), weight_hr (H, P),
  // peephole; the rows of the first two in words.
  int64_t hh() const { return W::count(shape_.input) * columns; }
  int64_t bias() const { return hh() + W::count(shape_.output) * columns; }
  int64_t hr() const { return bias() + columns; }
  int64_t peephole() const {
    return hr() + (shape_.projects() ? shape_.hidden * output_floats : 0);
  }
  int64_t forward_floats() const { return peephole() + 3 * padded(shape_.hidden); }
  // Backward: weight_hh (columns, P), weight_ih (columns, I), weight_hr (P, H), peephole.
  int64_t ih_back() const { return W::count(columns) * output_floats; }
  int64_t hr_back() const { return ih_back() + W::count(columns) * input_floats; }
  int64_t peephole_back() const {
    return hr_back() + (shape_.projects() ? shape_.output * hidden_floats() : 0);
  }
  int64_t backward_floats() const { return peephole_back() + 3 * padded(shape_.hidden); }
  int64_t hidden_floats() const { return whole_panels(shape_.hidden); }

 private:
  static int64_t whole_panels(int64_t columns) { return padded(P::panels(columns) * P::kPanel); }

  Shape shape_;
};

template <class S>
struct Packing {
  using V = typename S::V;
  using P = Product<S>;
  using L = Layout<S>;
  using W = Words<S>;

  // The share of one of several workers; the pieces do not overlap.
  static void forward(const Shape& shape, const Weights& w, float* packed, int64_t worker,
                      int64_t workers) {
    const L layout(shape);
    for (int64_t u = worker; u < layout.blocks; u += workers) {
      gates(shape, w.weight_ih, shape.input, u, packed);
      gates(shape, w.weight_hh, shape.output, u, packed + layout.hh());
      for (int64_t gate = 0; gate < 4; ++gate)
        for (int64_t lane = 0; lane < S::kLanes; ++lane) {
          const int64_t unit = u * S::kLanes + lane, row = gate * shape.hidden + unit;
          float bias = 0.0f;
          if (unit < shape.hidden && w.bias_ih != nullptr) bias += w.bias_ih[row];
          if (unit < shape.hidden && w.bias_hh != nullptr) bias += w.bias_hh[row];
          packed[layout.bias() + u * L::kBlock + gate * S::kLanes + lane] = bias;
        }
    }
    if (shape.projects()) {
      for (int64_t p = worker; p < P::panels(shape.output); p += workers) {
        float* to = packed + layout.hr() + p * P::kPanel * shape.hidden;
        const int64_t width = P::width(shape.output, p);
        for (int64_t column = 0; column < width; ++column) {
          const int64_t row = p * P::kPanel + column;
          for (int64_t k = 0; k < shape.hidden; ++k)
            to[k * width + column] =
                row < shape.output ? w.weight_hr[row * shape.hidden + k] : 0.0f;
        }
      }
    }
    if (worker == 0) peepholes(shape, w.peephole, packed + layout.peephole());
  }

  static void backward(const Shape& shape, const Weights& w, float* packed, int64_t worker,
                       int64_t workers) {
    const L layout(shape);
    transposed_gates(shape, w.weight_hh, shape.output, packed, worker, workers);
    if (w.weight_ih != nullptr)
      transposed_gates(shape, w.weight_ih, shape.input, packed + layout.ih_back(), worker, workers);
    if (shape.projects()) {
      for (int64_t p = worker; p < P::panels(shape.hidden); p += workers)
        for (int64_t k = 0; k < shape.output; ++k)
          pieces(w.weight_hr + k * shape.hidden, shape.hidden, 1, p,
                 row_of(packed + layout.hr_back(), shape.output, shape.hidden, p, k));
    }
    if (worker == 0) peepholes(shape, w.peephole, packed + layout.peephole_back());
  }

 private:
  // Columns of the packed (depth, columns) matrix that belong to block u, from (4H, depth) weights.
  static void gates(const Shape& shape, const float* weight, int64_t depth, int64_t u,
                    float* packed) {
    const int64_t units = std::min<int64_t>(shape.hidden - u * S::kLanes, S::kLanes);
    for (int64_t gate = 0; gate < 4; ++gate) {
      const int64_t panel = u * L::kBlockPanels + gate / S::kPanelVectors;
      float* to =
          packed + panel * W::count(depth) * P::kPanel + gate % S::kPanelVectors * S::kLanes;
      const float* from = weight + (gate * shape.hidden + u * S::kLanes) * depth;
      int64_t k = 0;
      if (units == S::kLanes)
        for (; k + S::kLanes <= depth; k += S::kLanes) {
          V column[S::kLanes];
          S::transpose(from + k, depth, column);
          for (int i = 0; i < S::kLanes; i += W::kTerms)
            S::store(to + (k + i) / W::kTerms * P::kPanel, W::join(column + i));
        }
      for (; k < depth; k += W::kTerms) {
        V column[W::kTerms];
        for (int64_t t = 0; t < W::kTerms; ++t) {
          float lane[S::kLanes] = {};
          if (k + t < depth)
            for (int64_t i = 0; i < units; ++i) lane[i] = from[i * depth + k + t];
          column[t] = S::load(lane);
        }
        S::store(to + k / W::kTerms * P::kPanel, W::join(column));
      }
    }
  }

  // The packed (columns, width) matrix from (4H, width) weights.
  static void transposed_gates(const Shape& shape, const float* weight, int64_t width,
                               float* packed, int64_t worker, int64_t workers) {
    const L layout(shape);
    for (int64_t p = worker; p < P::panels(width); p += workers)
      for (int64_t k = 0; k < layout.columns; k += W::kTerms) {
        const int64_t gate = k / S::kLanes % 4;
        const int64_t unit = k / L::kBlock * S::kLanes + k % S::kLanes;
        const float* from = weight + (gate * shape.hidden + unit) * width;
        pieces(from, width, std::min<int64_t>(shape.hidden - unit, W::kTerms), p,
               row_of(packed, W::count(layout.columns), width, p, k / W::kTerms));
      }
  }

  // What panel p holds of `rows` rows of so many columns, in words; zeros past the end and where
  // there are fewer rows than a word has terms.
  static void pieces(const float* row, int64_t columns, int64_t rows, int64_t p, float* to) {
    const int64_t start = p * P::kPanel;
    for (int64_t j = 0; j < P::width(columns, p); j += S::kLanes) {
      const int n = static_cast<int>(std::min<int64_t>(columns - start - j, S::kLanes));
      V terms[W::kTerms];
      for (int64_t t = 0; t < W::kTerms; ++t)
        terms[t] = t < rows ? S::load_first(row + t * columns + start + j, n) : S::zero();
      S::store(to + j, W::join(terms));
    }
  }

  // Row k of panel p of a packed matrix (depth, columns).
  static float* row_of(float* packed, int64_t depth, int64_t columns, int64_t p, int64_t k) {
    return packed + p * depth * P::kPanel + k * P::width(columns, p);
  }

  static void peepholes(const Shape& shape, const float* peephole, float* packed) {
    const int64_t width = padded(shape.hidden);
    std::memset(packed, 0, static_cast<size_t>(3 * width) * sizeof(float));
    if (peephole == nullptr) return;
    for (int64_t gate = 0; gate < 3; ++gate)
      std::memcpy(packed + gate * width, peephole + gate * shape.hidden,
                  static_cast<size_t>(shape.hidden) * sizeof(float));
  }
};

}  // namespace carousel
