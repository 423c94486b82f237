// The module carousel.engines._kernel: with exchange.h all that knows Python.
//
// Tensors come as addresses (0 for none), so that the module does not depend on PyTorch's version.
// The caller, carousel/engines/compiled/kernel.py, keeps them alive and has checked shapes and
// strides.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "exchange.h"
#include "lstm.h"
#include "stepper.h"
#include "threads.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T>
T* at(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

carousel::Exchange exchange;

carousel::Shape shape_of(int64_t steps, int64_t batch, int64_t input, int64_t hidden,
                         int64_t output) {
  return {steps, batch, input, hidden, output};
}

uintptr_t address(const nb::tuple& tuple, size_t index) {
  return nb::cast<uintptr_t>(tuple[index]);
}

carousel::Weights weights_of(const nb::tuple& w) {
  return {at<float>(address(w, 0)), at<float>(address(w, 1)), at<float>(address(w, 2)),
          at<float>(address(w, 3)), at<float>(address(w, 4)), at<float>(address(w, 5))};
}

carousel::Precision precision_of(bool bf16) {
  return bf16 ? carousel::Precision::kBfloat16 : carousel::Precision::kFloat32;
}

// peepholes, cell_clip, zoneout_h, zoneout_c, zoneout_h_mask, zoneout_c_mask, recurrent_mask
carousel::Variant variant_of(const nb::tuple& v) {
  carousel::Variant variant;
  if (v.size() == 0) return variant;
  variant.peepholes = nb::cast<bool>(v[0]);
  variant.cell_clip = nb::cast<float>(v[1]);
  variant.zoneout_h = nb::cast<float>(v[2]);
  variant.zoneout_c = nb::cast<float>(v[3]);
  variant.zoneout_h_mask = at<uint8_t>(address(v, 4));
  variant.zoneout_c_mask = at<uint8_t>(address(v, 5));
  variant.recurrent_mask = at<float>(address(v, 6));
  return variant;
}

}  // namespace

NB_MODULE(_kernel, module) {
  module.doc() =
      "The compiled kernel: one LSTM layer in one direction, on addresses of float32 memory.";
  module.def(
      "version", [] { return CAROUSEL_VERSION; }, "The version of the package it was built for.");
  module.def("instruction_set", &carousel::instruction_set, "The instruction set in use.");
  module.def(
      "instruction_sets",
      [] {
        std::vector<std::string> names;
        for (const char* const* name = carousel::instruction_sets(); *name != nullptr; ++name)
          names.emplace_back(*name);
        return names;
      },
      "The instruction sets that this processor can run, best first.");
  module.def("use_instruction_set", &carousel::use_instruction_set, "name"_a,
             "Chooses one, for tests; false where the processor lacks it.");
  module.def("team_kind", &carousel::team_kind, "What the next team of threads is made of.");
  module.def("lanes", &carousel::lanes, "Hidden units in one block of the kept gates.");
  module.def("padded", &carousel::padded, "units"_a,
             "Hidden units, padded as in every kept buffer.");

  module.def(
      "fingerprint",
      [](uintptr_t values, int64_t count) {
        return carousel::fingerprint(at<float>(values), count);
      },
      "address"_a, "count"_a, "A number that changes when one of the floats does.");
  module.def(
      "packed_floats",
      [](int64_t input, int64_t hidden, int64_t output, bool back, bool bf16) {
        const auto shape = shape_of(0, 0, input, hidden, output);
        return (back ? carousel::packed_backward_floats : carousel::packed_forward_floats)(
            shape, precision_of(bf16));
      },
      "input"_a, "hidden"_a, "output"_a, "back"_a, "bf16"_a,
      "Floats that the packed weights take.");
  module.def(
      "supports_bf16",
      [](int64_t input, int64_t hidden, int64_t output) {
        return carousel::supports_bfloat16(shape_of(0, 0, input, hidden, output));
      },
      "input"_a, "hidden"_a, "output"_a, "Whether products of bf16 can be had for this layer.");
  module.def(
      "pack",
      [](int64_t input, int64_t hidden, int64_t output, const nb::tuple& weights, uintptr_t packed,
         bool back, bool bf16, int threads) {
        const auto shape = shape_of(0, 0, input, hidden, output);
        const auto w = weights_of(weights);
        nb::gil_scoped_release free;
        (back ? carousel::pack_backward : carousel::pack_forward)(shape, w, at<float>(packed),
                                                                  threads, precision_of(bf16));
      },
      "input"_a, "hidden"_a, "output"_a, "weights"_a, "packed"_a, "back"_a, "bf16"_a, "threads"_a,
      "Packs weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, weight_peephole.");

  // (steps, batch, input, hidden, output), (reverse, x, x_step, x_row, h0, c0, lengths, reset,
  // bf16), variant
  const auto sequence_of = [](const nb::tuple& shape, const nb::tuple& s, const nb::tuple& v) {
    carousel::Sequence q{};
    q.shape = shape_of(nb::cast<int64_t>(shape[0]), nb::cast<int64_t>(shape[1]),
                       nb::cast<int64_t>(shape[2]), nb::cast<int64_t>(shape[3]),
                       nb::cast<int64_t>(shape[4]));
    q.reverse = nb::cast<bool>(s[0]);
    q.x = at<float>(address(s, 1));
    q.x_step = nb::cast<int64_t>(s[2]);
    q.x_row = nb::cast<int64_t>(s[3]);
    q.h0 = at<float>(address(s, 4));
    q.c0 = at<float>(address(s, 5));
    q.lengths = at<int64_t>(address(s, 6));
    q.reset = at<uint8_t>(address(s, 7));
    q.variant = variant_of(v);
    q.precision = precision_of(nb::cast<bool>(s[8]));
    return q;
  };

  module.def(
      "forward",
      [sequence_of](const nb::tuple& shape, const nb::tuple& sequence, const nb::tuple& variant,
                    uintptr_t packed, uintptr_t out, int64_t out_step, int64_t out_row,
                    uintptr_t h_n, uintptr_t c_n, uintptr_t gates, uintptr_t cells, int threads) {
        const carousel::Forward call{sequence_of(shape, sequence, variant),
                                     at<float>(packed),
                                     at<float>(out),
                                     out_step,
                                     out_row,
                                     at<float>(h_n),
                                     at<float>(c_n),
                                     {at<float>(gates), at<float>(cells)},
                                     0};
        nb::gil_scoped_release free;
        carousel::forward(call, threads);
      },
      "shape"_a, "sequence"_a, "variant"_a, "packed"_a, "out"_a, "out_step"_a, "out_row"_a, "h_n"_a,
      "c_n"_a, "gates"_a, "cells"_a, "threads"_a, "One layer in one direction; see csrc/lstm.h.");

  module.def(
      "single_step",
      [](const nb::tuple& shape, const nb::tuple& weights, uintptr_t x, int64_t x_row, uintptr_t h0,
         uintptr_t c0, uintptr_t h_n, uintptr_t c_n, int threads) {
        const carousel::Single call{
            shape_of(1, nb::cast<int64_t>(shape[1]), nb::cast<int64_t>(shape[2]),
                     nb::cast<int64_t>(shape[3]), nb::cast<int64_t>(shape[4])),
            weights_of(weights),
            at<float>(x),
            x_row,
            at<float>(h0),
            at<float>(c0),
            at<float>(h_n),
            at<float>(c_n),
            nullptr};
        nb::gil_scoped_release free;
        carousel::single_step(call, threads);
      },
      "shape"_a, "weights"_a, "x"_a, "x_row"_a, "h0"_a, "c0"_a, "h_n"_a, "c_n"_a, "threads"_a,
      "One step straight from the weights; see csrc/lstm.h.");
  module.def(
      "backward",
      [sequence_of](const nb::tuple& shape, const nb::tuple& sequence, const nb::tuple& variant,
                    uintptr_t packed, uintptr_t out, int64_t out_step, int64_t out_row,
                    uintptr_t gates, uintptr_t cells, const nb::tuple& given,
                    const nb::tuple& wanted, int threads) {
        carousel::Backward call{};
        call.sequence = sequence_of(shape, sequence, variant);
        call.packed = at<float>(packed);
        call.out = at<float>(out);
        call.out_step = out_step;
        call.out_row = out_row;
        call.kept = {at<float>(gates), at<float>(cells)};
        call.grad_out = at<float>(address(given, 0));
        call.grad_out_step = nb::cast<int64_t>(given[1]);
        call.grad_out_row = nb::cast<int64_t>(given[2]);
        call.grad_h_n = at<float>(address(given, 3));
        call.grad_c_n = at<float>(address(given, 4));
        call.grad_x = at<float>(address(wanted, 0));
        call.grad_h0 = at<float>(address(wanted, 1));
        call.grad_c0 = at<float>(address(wanted, 2));
        call.grad_weight_ih = at<float>(address(wanted, 3));
        call.grad_weight_hh = at<float>(address(wanted, 4));
        call.grad_bias = at<float>(address(wanted, 5));
        call.grad_weight_hr = at<float>(address(wanted, 6));
        call.grad_peephole = at<float>(address(wanted, 7));
        nb::gil_scoped_release free;
        carousel::backward(call, threads);
      },
      "shape"_a, "sequence"_a, "variant"_a, "packed"_a, "out"_a, "out_step"_a, "out_row"_a,
      "gates"_a, "cells"_a, "given"_a, "wanted"_a, "threads"_a, "Its gradients; see csrc/lstm.h.");

  module.def(
      "use_exchange", [](nb::handle capsule) { return exchange.use(capsule); }, "capsule"_a,
      "Takes PyTorch's table of DLPack's C exchange API; false where it is of no use.");
  module.def(
      "fits", [](nb::args tensors) { return carousel::PlainLayer(exchange, tensors).fits; },
      "Whether x, h0, c0, weight_ih, weight_hh, bias_ih and bias_hh are a plain layer's.");
  module.def(
      "plain_step",
      [](nb::handle out, nb::handle h_n, nb::handle c_n, int threads, nb::args tensors) {
        const carousel::PlainLayer t(exchange, tensors);
        if (!t.fits || t.x.size(0) != 1) return false;
        const int64_t B = t.x.size(1), I = t.x.size(2), H = t.weight_hh.size(1);
        const carousel::Exchange::View to_out(exchange, out), to_h(exchange, h_n),
            to_c(exchange, c_n);
        for (const auto* to : {&to_out, &to_h, &to_c})
          if (!to->is(int64_t{1}, B, H)) return false;
        const carousel::Single call{{1, B, I, H, H},
                                    {t.weight_ih.data(), t.weight_hh.data(), t.bias_ih.data(),
                                     t.bias_hh.data(), nullptr, nullptr},
                                    t.x.data(),
                                    t.x.stride(1),
                                    t.h0.data(),
                                    t.c0.data(),
                                    to_h.data(),
                                    to_c.data(),
                                    to_out.data()};
        nb::gil_scoped_release free;
        carousel::single_step(call, threads);
        return true;
      },
      "out"_a, "h_n"_a, "c_n"_a, "threads"_a, "tensors"_a,
      "One step of such a layer; false where the tensors do not fit.");

  nb::class_<carousel::Stepper>(module, "Stepper",
                                "A stack of layers that is fed one step at a time.")
      .def(nb::init<int64_t>(), "batch"_a)
      .def(
          "add",
          [](carousel::Stepper& stepper, int64_t input, int64_t hidden, int64_t output,
             const nb::tuple& variant, uintptr_t packed, uintptr_t h, uintptr_t c) {
            stepper.add(input, hidden, output, variant_of(variant), at<float>(packed), at<float>(h),
                        at<float>(c));
          },
          "input"_a, "hidden"_a, "output"_a, "variant"_a, "packed"_a, "h"_a, "c"_a,
          "Puts a layer on top; packed weights and state must outlive the stepper.")
      .def(
          "step",
          [](carousel::Stepper& stepper, uintptr_t x, int64_t x_row, uintptr_t out, int threads) {
            nb::gil_scoped_release free;
            stepper.step(at<float>(x), x_row, at<float>(out), threads);
          },
          "x"_a, "x_row"_a, "out"_a, "threads"_a, "One step, by addresses.")
      .def(
          "feed",
          [](carousel::Stepper& stepper, nb::handle x, nb::handle out, int threads) {
            const carousel::Exchange::View from(exchange, x), to(exchange, out);
            if (!from.has(stepper.batch(), stepper.inputs()) ||
                !to.is(stepper.batch(), stepper.outputs()))
              return false;
            nb::gil_scoped_release free;
            stepper.step(from.data(), from.stride(0), to.data(), threads);
            return true;
          },
          "x"_a, "out"_a, "threads"_a, "One step; false where the tensors do not fit.");
}
