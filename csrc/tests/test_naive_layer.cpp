// The gradients of the naive layer against differences of its outputs, in double.
//
// The kernel is held to the naive layer; this holds the naive layer to the definition of a
// derivative.
#include "naive_layer.h"

#include <cmath>

#include "check.h"

namespace {

using test::check;
using test::LayerCase;
using test::LayerInputs;
using test::LayerValues;

// The number whose gradients the backward pass is for: <out, grad_out> + <h_n, ...> + <c_n, ...>.
double loss(const LayerCase& layer, const LayerInputs<double>& inputs) {
  const LayerValues<double> values = test::NaiveLayer<double>(layer, inputs).run(false);
  double sum = 0.0;
  const auto add = [&](const std::vector<double>& a, const std::vector<float>& b) {
    for (size_t k = 0; k < b.size(); ++k) sum += a[k] * static_cast<double>(b[k]);
  };
  add(values.out, layer.grad_out), add(values.h_n, layer.grad_h_n), add(values.c_n, layer.grad_c_n);
  return sum;
}

// A central difference is off by d^2 / 6 times a third derivative, here 1e-9 times some hundred at
// most, and by the rounding of the loss, 1e-15 of some hundred over d.
constexpr double kStep = 1e-4;
constexpr double kBound = 1e-6;

void compare(const LayerCase& layer, LayerInputs<double>& inputs, std::vector<double>& parameters,
             const std::vector<double>& gradients, const char* what) {
  check(parameters.size() == gradients.size(), "%s: %zu gradients of %zu", what, gradients.size(),
        parameters.size());
  for (size_t k = 0; k < parameters.size(); ++k) {
    const double kept = parameters[k];
    parameters[k] = kept + kStep;
    const double above = loss(layer, inputs);
    parameters[k] = kept - kStep;
    const double below = loss(layer, inputs);
    parameters[k] = kept;
    const double difference = (above - below) / (2.0 * kStep);
    check(std::fabs(difference - gradients[k]) <= kBound * (1.0 + std::fabs(difference)),
          "%s[%zu]: %.9g, but the difference is %.9g; %s", what, k, gradients[k], difference,
          layer.name().c_str());
  }
}

void test_case(const LayerCase& layer) {
  LayerInputs<double> in(layer);
  const LayerValues<double> values = test::NaiveLayer<double>(layer, in).run();
  compare(layer, in, in.x, values.grad_x, "grad_x");
  compare(layer, in, in.h0, values.grad_h0, "grad_h0");
  compare(layer, in, in.c0, values.grad_c0, "grad_c0");
  compare(layer, in, in.weight_ih, values.grad_weight_ih, "grad_weight_ih");
  compare(layer, in, in.weight_hh, values.grad_weight_hh, "grad_weight_hh");
  compare(layer, in, in.bias, values.grad_bias, "grad_bias");
  compare(layer, in, in.weight_hr, values.grad_weight_hr, "grad_weight_hr");
  compare(layer, in, in.peephole, values.grad_peephole, "grad_peephole");
}

}  // namespace

int main() {
  test::Random random(7);
  for (int number = 0; number < 24; ++number) {
    const int64_t hidden = random.between(2, 4);
    const int64_t output = number % 3 == 0 ? random.between(1, hidden - 1) : hidden;
    const carousel::Shape shape{random.between(1, 5), random.between(1, 3), random.between(1, 3),
                                hidden, output};
    test_case(test::make_case(shape, test::Features::drawn(random), random, 2.0));
  }
  return test::result();
}
