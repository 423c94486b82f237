// A stack of layers fed one step at a time: the same bits as whole sequences, layer by layer.
#include "stepper.h"

#include <vector>

#include "check.h"
#include "kernel_layer.h"
#include "random.h"

namespace {

using carousel::Shape;
using test::check;
using test::LayerCase;
using test::Random;

// The public functions, as a table like those of the instruction sets.
const carousel::Target kPublic = {
    carousel::instruction_set(),
    carousel::lanes(),
    [](const Shape& s) { return carousel::packed_forward_floats(s); },
    [](const Shape& s) { return carousel::packed_backward_floats(s); },
    [](const Shape& s, const carousel::Weights& w, float* to, int threads) {
      carousel::pack_forward(s, w, to, threads);
    },
    [](const Shape& s, const carousel::Weights& w, float* to, int threads) {
      carousel::pack_backward(s, w, to, threads);
    },
    &carousel::fingerprint,
    &carousel::forward,
    &carousel::single_step,
    &carousel::backward,
    false};

carousel::Weights weights_of(const LayerCase& layer) {
  return {layer.weight_ih.data(),
          layer.weight_hh.data(),
          layer.bias_ih.data(),
          layer.bias_hh.data(),
          layer.shape.projects() ? layer.weight_hr.data() : nullptr,
          layer.peephole.empty() ? nullptr : layer.peephole.data()};
}

struct Layer {
  LayerCase layer;
  test::LayerValues<float> whole;
  test::Packed packed;
  std::vector<float> h, c;

  explicit Layer(const LayerCase& of)
      : layer(of),
        whole(test::KernelLayer(of, kPublic).infer({})),
        packed(carousel::packed_forward_floats(of.shape)),
        h(of.h0),
        c(of.c0) {
    carousel::pack_forward(of.shape, weights_of(layer), packed.data(), 1);
  }
  carousel::Variant variant() const {
    carousel::Variant v;
    v.peepholes = !layer.peephole.empty();
    v.cell_clip = layer.cell_clip;
    v.zoneout_h = layer.zoneout_h;
    v.zoneout_c = layer.zoneout_c;
    return v;
  }
};

// sizes: the input's, and those of each layer's hidden state.
void test_stack(Random& random, int64_t steps, int64_t batch, const std::vector<int64_t>& sizes,
                bool variants, int threads) {
  std::vector<Layer*> layers;
  for (size_t k = 1; k < sizes.size(); ++k) {
    test::Features features;
    features.peepholes = features.clip = features.zoneout_rates = variants;
    const int64_t hidden = variants ? sizes[k] + 3 : sizes[k];
    LayerCase layer =
        test::make_case({steps, batch, sizes[k - 1], hidden, sizes[k]}, features, random);
    if (k > 1) layer.x = layers.back()->whole.out;
    layers.push_back(new Layer(layer));
  }

  carousel::Stepper stepper(batch);
  for (Layer* l : layers)
    stepper.add(l->layer.shape.input, l->layer.shape.hidden, l->layer.shape.output, l->variant(),
                l->packed.data(), l->h.data(), l->c.data());
  const std::vector<float>& x = layers.front()->layer.x;
  const std::vector<float>& wanted = layers.back()->whole.out;
  for (int64_t t = 0; t < steps; ++t) {
    std::vector<float> out(static_cast<size_t>(batch * sizes.back()), test::kUnwritten);
    stepper.step(x.data() + t * batch * sizes.front(), sizes.front(), out.data(), threads);
    check(test::same_bits(out.data(), wanted.data() + t * batch * sizes.back(),
                          static_cast<int64_t>(out.size())),
          "step %d is not that of the whole sequence; %s", static_cast<int>(t),
          layers.back()->layer.name().c_str());
  }
  for (Layer* l : layers) {
    check(l->h == l->whole.h_n && l->c == l->whole.c_n, "the last state is another; %s",
          l->layer.name().c_str());
    delete l;
  }
}

}  // namespace

int main() {
  Random random(29);
  for (const int threads : {1, 3}) {
    test_stack(random, 6, 1, {5, 9}, false, threads);
    test_stack(random, 6, 4, {40, 17, 33, 8}, false, threads);
    test_stack(random, 5, 3, {7, 12, 20}, true, threads);
    test_stack(random, 3, 1, {64, 130, 130}, false, threads);  // enough work for a team
  }
  return test::result();
}
