// Packed weights, float by float, against the layout that README.md draws.
#include "packing.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "../random.h"
#include "../rounding.h"
#include "instruction_set.h"

namespace {

using carousel::Shape;
using carousel::Weights;
using test::check;
using test::Random;
using test::S;
using Layout = carousel::Layout<S>;
using Packing = carousel::Packing<S>;
using Words = carousel::Words<S>;

constexpr int64_t W = S::kLanes;
constexpr int64_t kPanel = S::kPanelVectors * W;
constexpr float kUnwritten = std::numeric_limits<float>::quiet_NaN();

struct Layer {
  Shape shape;
  std::vector<float> ih, hh, bias_ih, bias_hh, hr, peephole;

  Layer(Random& random, const Shape& s)
      : shape(s),
        ih(random.numbers(4 * s.hidden * s.input, 1.0)),
        hh(random.numbers(4 * s.hidden * s.output, 1.0)),
        bias_ih(random.numbers(4 * s.hidden, 1.0)),
        bias_hh(random.numbers(4 * s.hidden, 1.0)),
        hr(random.numbers(s.output * s.hidden, 1.0)),
        peephole(random.numbers(3 * s.hidden, 1.0)) {}

  Weights weights() const {
    return {ih.data(),
            hh.data(),
            bias_ih.data(),
            bias_hh.data(),
            shape.projects() ? hr.data() : nullptr,
            peephole.data()};
  }
};

using Pack = void (*)(const Shape&, const Weights&, float*, int64_t, int64_t);

// Packs with some workers; what none of them wrote is left as it was.
std::vector<float> packed(Pack pack, int64_t floats, const Shape& shape, const Weights& weights,
                          int64_t workers) {
  std::vector<float> to(static_cast<size_t>(floats), kUnwritten);
  for (int64_t worker = workers - 1; worker >= 0; --worker)
    pack(shape, weights, to.data(), worker, workers);
  return to;
}

int64_t whole_vectors(int64_t columns) { return (columns + W - 1) / W * W; }

// Element (k, j) of a packed matrix (K, N), whose last panel is as narrow as vectors allow.
float element(const std::vector<float>& packed, int64_t start, int64_t K, int64_t N, int64_t k,
              int64_t j) {
  const int64_t panel = j / kPanel * kPanel, width = std::min(kPanel, whole_vectors(N) - panel);
  const int64_t word = k / Words::kTerms, words = Words::count(K);
  const float value =
      packed[static_cast<size_t>(start + panel * words + word * width + j % kPanel)];
  if (!S::kPairs) return value;
  const uint32_t bits = test::bits_of(value);
  return test::float_of(k % 2 == 0 ? bits << 16 : bits & 0xffff0000u);
}

void equal(float got, float wanted, const char* what, int64_t k, int64_t j) {
  check(test::bits_of(got) == test::bits_of(wanted), "%s (%d, %d) is %g, not %g", what,
        static_cast<int>(k), static_cast<int>(j), static_cast<double>(got),
        static_cast<double>(wanted));
}

// Which weight's row a column of gates is, or -1 where there is no such unit.
int64_t weight_row(int64_t column, int64_t hidden) {
  const int64_t unit = column / (4 * W) * W + column % W, gate = column / W % 4;
  return unit < hidden ? gate * hidden + unit : -1;
}

float at(const std::vector<float>& values, int64_t index) {
  return values[static_cast<size_t>(index)];
}

void check_peepholes(const std::vector<float>& p, int64_t start, const Layer& layer, bool has) {
  const int64_t H = layer.shape.hidden, width = carousel::padded(H);
  for (int64_t gate = 0; gate < 3; ++gate)
    for (int64_t j = 0; j < width; ++j)
      equal(at(p, start + gate * width + j), has && j < H ? at(layer.peephole, gate * H + j) : 0.0f,
            "peephole", gate, j);
}

void test_forward(const Layer& layer, const Weights& weights, int64_t workers) {
  const Shape& s = layer.shape;
  const Layout layout(s);
  const std::vector<float> p =
      packed(&Packing::forward, layout.forward_floats(), s, weights, workers);
  for (int64_t j = 0; j < layout.columns; ++j) {
    const int64_t row = weight_row(j, s.hidden);
    for (int64_t k = 0; k < s.input; ++k)
      equal(element(p, 0, s.input, layout.columns, k, j),
            row < 0 ? 0.0f : test::factor(at(layer.ih, row * s.input + k)), "ih", k, j);
    for (int64_t k = 0; k < s.output; ++k)
      equal(element(p, layout.hh(), s.output, layout.columns, k, j),
            row < 0 ? 0.0f : test::factor(at(layer.hh, row * s.output + k)), "hh", k, j);
    float bias = 0.0f;
    if (row >= 0 && weights.bias_ih != nullptr) bias += weights.bias_ih[row];
    if (row >= 0 && weights.bias_hh != nullptr) bias += weights.bias_hh[row];
    equal(at(p, layout.bias() + j), bias, "bias", 0, j);
  }
  for (int64_t k = 0; s.projects() && k < s.hidden; ++k)
    for (int64_t j = 0; j < whole_vectors(s.output); ++j)
      equal(element(p, layout.hr(), s.hidden, s.output, k, j),
            j < s.output ? at(layer.hr, j * s.hidden + k) : 0.0f, "hr", k, j);
  check_peepholes(p, layout.peephole(), layer, weights.peephole != nullptr);
}

void test_backward(const Layer& layer, const Weights& weights, int64_t workers) {
  const Shape& s = layer.shape;
  const Layout layout(s);
  const std::vector<float> p =
      packed(&Packing::backward, layout.backward_floats(), s, weights, workers);
  for (int64_t k = 0; k < layout.columns; ++k) {
    const int64_t row = weight_row(k, s.hidden);
    for (int64_t j = 0; j < whole_vectors(s.output); ++j)
      equal(element(p, 0, layout.columns, s.output, k, j),
            row < 0 || j >= s.output ? 0.0f : test::factor(at(layer.hh, row * s.output + j)),
            "hh back", k, j);
    for (int64_t j = 0; weights.weight_ih != nullptr && j < whole_vectors(s.input); ++j)
      equal(element(p, layout.ih_back(), layout.columns, s.input, k, j),
            row < 0 || j >= s.input ? 0.0f : test::factor(at(layer.ih, row * s.input + j)),
            "ih back", k, j);
  }
  for (int64_t k = 0; s.projects() && k < s.output; ++k)
    for (int64_t j = 0; j < whole_vectors(s.hidden); ++j)
      equal(element(p, layout.hr_back(), s.output, s.hidden, k, j),
            j < s.hidden ? at(layer.hr, k * s.hidden + j) : 0.0f, "hr back", k, j);
  check_peepholes(p, layout.peephole_back(), layer, weights.peephole != nullptr);
}

int tests(int, char**) {
  Random random(17);
  // steps and batch say nothing about weights
  for (const int64_t hidden : {int64_t{1}, W - 1, W, W + 1, 2 * W, 3 * W + 5, int64_t{70}})
    for (const int64_t input : {int64_t{1}, W, 2 * kPanel + 3})
      for (const int64_t output : {hidden, (hidden + 1) / 2}) {
        if (S::kPairs && output != hidden) continue;  // bf16 runs no layer that projects
        const Layer layer(random, {0, 0, input, hidden, output});
        for (const int64_t workers : {1, 2, 5}) {
          test_forward(layer, layer.weights(), workers);
          test_backward(layer, layer.weights(), workers);
        }
        Weights fewer = layer.weights();
        fewer.bias_hh = fewer.peephole = nullptr;
        test_forward(layer, fewer, 1);
        fewer.bias_ih = nullptr;
        test_forward(layer, fewer, 1);
        fewer.weight_ih = nullptr;
        test_backward(layer, fewer, 1);
      }
  return test::result();
}

}  // namespace

int main(int count, char** arguments) { return test::run_where_possible(&tests, count, arguments); }
