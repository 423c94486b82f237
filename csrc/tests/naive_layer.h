// The layer and its gradients as plainly as can be: one row, one step, one unit after the other.
//
// The specification that the kernel is held to; README.md has its equations. N is double, or a
// number that carries an error bound. Knows nothing of blocks, chunks or threads.
#pragma once

#include <vector>

#include "layer_case.h"
#include "tracked.h"

namespace test {

// The numbers that gradients are taken of. Any may be changed, to take differences.
template <class N>
struct LayerInputs {
  std::vector<N> x, h0, c0, weight_ih, weight_hh, bias, weight_hr, peephole;

  explicit LayerInputs(const LayerCase& c)
      : x(c.x.begin(), c.x.end()),
        h0(c.h0.begin(), c.h0.end()),
        c0(c.c0.begin(), c.c0.end()),
        weight_ih(c.weight_ih.begin(), c.weight_ih.end()),
        weight_hh(c.weight_hh.begin(), c.weight_hh.end()),
        bias(static_cast<size_t>(4 * c.shape.hidden)),
        weight_hr(c.weight_hr.begin(), c.weight_hr.end()),
        peephole(c.peephole.begin(), c.peephole.end()) {
    for (size_t k = 0; k < bias.size(); ++k) {
      Sum<N> sum;
      if (!c.bias_ih.empty()) sum.add(N(c.bias_ih[k]));
      if (!c.bias_hh.empty()) sum.add(N(c.bias_hh[k]));
      bias[k] = sum.result();
    }
  }
};

// Everything that a forward and a backward pass write. Gates and cells are (T, B, H).
template <class N>
struct LayerValues {
  std::vector<N> out, h_n, c_n, i, f, g, o, c;
  std::vector<N> grad_x, grad_h0, grad_c0, grad_weight_ih, grad_weight_hh, grad_bias,
      grad_weight_hr, grad_peephole;

  LayerValues() = default;
  explicit LayerValues(const LayerCase& a) {
    const int64_t T = a.shape.steps, B = a.shape.batch, I = a.shape.input, H = a.shape.hidden,
                  P = a.shape.output;
    const auto size = [](std::vector<N>& values, int64_t count) {
      values.assign(static_cast<size_t>(count), N());
    };
    size(out, T * B * P), size(h_n, B * P), size(c_n, B * H);
    for (std::vector<N>* values : {&i, &f, &g, &o, &c}) size(*values, T * B * H);
    size(grad_x, T * B * I), size(grad_h0, B * P), size(grad_c0, B * H);
    size(grad_weight_ih, 4 * H * I), size(grad_weight_hh, 4 * H * P), size(grad_bias, 4 * H);
    size(grad_weight_hr, static_cast<int64_t>(a.weight_hr.size()));
    size(grad_peephole, static_cast<int64_t>(a.peephole.size()));
  }

  // Calls visit(name, values) for each.
  template <class F>
  void each(F visit) const {
    visit("out", out), visit("h_n", h_n), visit("c_n", c_n);
    visit("i", i), visit("f", f), visit("g", g), visit("o", o), visit("c", c);
    visit("grad_x", grad_x), visit("grad_h0", grad_h0), visit("grad_c0", grad_c0);
    visit("grad_weight_ih", grad_weight_ih), visit("grad_weight_hh", grad_weight_hh);
    visit("grad_bias", grad_bias), visit("grad_weight_hr", grad_weight_hr);
    visit("grad_peephole", grad_peephole);
  }
};

template <class N>
class NaiveLayer {
 public:
  NaiveLayer(const LayerCase& layer, const LayerInputs<N>& inputs)
      : case_(layer),
        in_(inputs),
        T(layer.shape.steps),
        B(layer.shape.batch),
        I(layer.shape.input),
        H(layer.shape.hidden),
        P(layer.shape.output),
        clip_(static_cast<double>(layer.cell_clip)),
        values_(layer) {}

  LayerValues<N> run(bool gradients = true) {
    sums_ih_.resize(values_.grad_weight_ih.size());
    sums_hh_.resize(values_.grad_weight_hh.size());
    sums_bias_.resize(values_.grad_bias.size());
    sums_hr_.resize(values_.grad_weight_hr.size());
    sums_peephole_.resize(values_.grad_peephole.size());
    for (int64_t b = 0; b < B; ++b) {
      forward(b);
      if (gradients) backward(b);
    }
    finish(sums_ih_, values_.grad_weight_ih), finish(sums_hh_, values_.grad_weight_hh);
    finish(sums_bias_, values_.grad_bias), finish(sums_hr_, values_.grad_weight_hr);
    finish(sums_peephole_, values_.grad_peephole);
    return values_;
  }

 private:
  using Vector = std::vector<N>;
  using Index = typename Vector::size_type;

  struct StepValues {
    int64_t t;
    bool reset;
    Vector h_old, h_masked, c_old;          // before the step, after a reset
    Vector i, f, g, o, raw, shown_cell, y;  // raw: before the clip; shown_cell: c̄
  };

  static const N& at(const Vector& values, int64_t k) { return values[static_cast<Index>(k)]; }
  static N& at(Vector& values, int64_t k) { return values[static_cast<Index>(k)]; }
  static Vector row(const Vector& values, int64_t number, int64_t width) {
    const auto first = values.begin() + number * width;
    return Vector(first, first + width);
  }
  static void finish(const std::vector<Sum<N>>& sums, Vector& to) {
    for (Index k = 0; k < sums.size(); ++k) to[k] = sums[k].result();
  }

  // The share of the old value that zoneout keeps at element k of step (t, b).
  N share(const std::vector<uint8_t>& mask, float rate, int64_t t, int64_t b, int64_t width,
          int64_t k) const {
    if (mask.empty()) return N(rate);
    return N(mask[static_cast<Index>((t * B + b) * width + k)] != 0 ? 1.0 : 0.0);
  }
  N share_h(int64_t t, int64_t b, int64_t k) const {
    return share(case_.zoneout_h_mask, case_.zoneout_h, t, b, P, k);
  }
  N share_c(int64_t t, int64_t b, int64_t k) const {
    return share(case_.zoneout_c_mask, case_.zoneout_c, t, b, H, k);
  }

  // A reset is a boundary before its step: a reversed row crosses it on the way from that step.
  bool resets(int64_t b, int64_t t, int64_t s) const {
    if (case_.reset.empty() || (case_.reverse && s == 0)) return false;
    return case_.reset[static_cast<Index>((case_.reverse ? t + 1 : t) * B + b)] != 0;
  }

  void forward(int64_t b) {
    steps_.clear();
    Vector h = row(in_.h0, b, P), c = row(in_.c0, b, H);
    for (int64_t s = 0; s < case_.length(b); ++s) {
      StepValues v;
      v.t = case_.reverse ? case_.length(b) - 1 - s : s;
      v.reset = resets(b, v.t, s);
      if (v.reset) h.assign(h.size(), N()), c.assign(c.size(), N());
      v.h_old = v.h_masked = h;
      v.c_old = c;
      if (!case_.recurrent_mask.empty())
        for (int64_t k = 0; k < P; ++k)
          at(v.h_masked, k) = N(case_.recurrent_mask[static_cast<Index>(b * P + k)]) * at(h, k);
      gates(b, v);
      for (int64_t j = 0; j < H; ++j)
        at(c, j) = mixed(share_c(v.t, b, j), at(v.c_old, j), at(v.shown_cell, j));
      for (int64_t k = 0; k < P; ++k) {
        N fresh = case_.shape.projects() ? N() : at(v.y, k);
        if (case_.shape.projects()) {
          Sum<N> sum;
          for (int64_t j = 0; j < H; ++j) sum.add(at(in_.weight_hr, k * H + j), at(v.y, j));
          fresh = sum.result();
        }
        at(h, k) = mixed(share_h(v.t, b, k), at(v.h_old, k), fresh);
        at(values_.out, (v.t * B + b) * P + k) = at(h, k);
      }
      for (int64_t j = 0; j < H; ++j) {
        const int64_t k = (v.t * B + b) * H + j;
        at(values_.i, k) = at(v.i, j), at(values_.f, k) = at(v.f, j);
        at(values_.g, k) = at(v.g, j), at(values_.o, k) = at(v.o, j);
        at(values_.c, k) = at(c, j);
      }
      steps_.push_back(v);
    }
    std::copy(h.begin(), h.end(), values_.h_n.begin() + b * P);
    std::copy(c.begin(), c.end(), values_.c_n.begin() + b * H);
  }

  static N mixed(const N& share, const N& old, const N& fresh) {
    return share * old + (N(1.0) - share) * fresh;
  }

  void gates(int64_t b, StepValues& v) const {
    for (Vector* values : {&v.i, &v.f, &v.g, &v.o, &v.raw, &v.shown_cell, &v.y})
      values->resize(static_cast<Index>(H));
    for (int64_t j = 0; j < H; ++j) {
      Sum<N> sum[4];
      for (int64_t gate = 0; gate < 4; ++gate) {
        const int64_t unit = gate * H + j;
        sum[gate].add(at(in_.bias, unit));
        for (int64_t k = 0; k < I; ++k)
          sum[gate].add(at(in_.weight_ih, unit * I + k), at(in_.x, (v.t * B + b) * I + k));
        for (int64_t k = 0; k < P; ++k)
          sum[gate].add(at(in_.weight_hh, unit * P + k), at(v.h_masked, k));
      }
      const bool peeps = !in_.peephole.empty();
      if (peeps) sum[0].add(at(in_.peephole, j), at(v.c_old, j));
      if (peeps) sum[1].add(at(in_.peephole, H + j), at(v.c_old, j));
      const N i = sigmoid(sum[0].result()), f = sigmoid(sum[1].result());
      const N g = hyperbolic(sum[2].result());
      const N raw = f * at(v.c_old, j) + i * g;
      const N cell = clip_ > 0.0 ? clipped(raw, clip_) : raw;
      if (peeps) sum[3].add(at(in_.peephole, 2 * H + j), cell);
      const N o = sigmoid(sum[3].result());
      at(v.i, j) = i, at(v.f, j) = f, at(v.g, j) = g, at(v.o, j) = o;
      at(v.raw, j) = raw, at(v.shown_cell, j) = cell;
      at(v.y, j) = o * hyperbolic(cell);
    }
  }

  void backward(int64_t b) {
    Vector grad_h(static_cast<Index>(P)), grad_c(static_cast<Index>(H));
    if (!case_.grad_h_n.empty())
      for (int64_t k = 0; k < P; ++k)
        at(grad_h, k) = N(case_.grad_h_n[static_cast<Index>(b * P + k)]);
    if (!case_.grad_c_n.empty())
      for (int64_t j = 0; j < H; ++j)
        at(grad_c, j) = N(case_.grad_c_n[static_cast<Index>(b * H + j)]);
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step)
      step_backward(b, *step, grad_h, grad_c);
    std::copy(grad_h.begin(), grad_h.end(), values_.grad_h0.begin() + b * P);
    std::copy(grad_c.begin(), grad_c.end(), values_.grad_c0.begin() + b * H);
  }

  // From the gradients of h_t and c_t to those of the state before the step.
  void step_backward(int64_t b, const StepValues& v, Vector& grad_h, Vector& grad_c) {
    Vector kept_h(static_cast<Index>(P)), grad_fresh(static_cast<Index>(P));
    for (int64_t k = 0; k < P; ++k) {
      if (!case_.grad_out.empty())
        at(grad_h, k) =
            at(grad_h, k) + N(case_.grad_out[static_cast<Index>((v.t * B + b) * P + k)]);
      at(kept_h, k) = share_h(v.t, b, k) * at(grad_h, k);
      at(grad_fresh, k) = (N(1.0) - share_h(v.t, b, k)) * at(grad_h, k);
    }
    Vector grad_y = grad_fresh;
    if (case_.shape.projects()) {
      grad_y.assign(static_cast<Index>(H), N());
      for (int64_t j = 0; j < H; ++j) {
        Sum<N> sum;
        for (int64_t k = 0; k < P; ++k) {
          sum.add(at(in_.weight_hr, k * H + j), at(grad_fresh, k));
          sums_hr_[static_cast<Index>(k * H + j)].add(at(grad_fresh, k), at(v.y, j));
        }
        at(grad_y, j) = sum.result();
      }
    }
    Vector slopes(static_cast<Index>(4 * H));
    for (int64_t j = 0; j < H; ++j) slopes_of_unit(b, v, j, at(grad_y, j), slopes, grad_c);
    weight_gradients(b, v, slopes);
    for (int64_t k = 0; k < P; ++k) {
      Sum<N> sum;
      for (int64_t unit = 0; unit < 4 * H; ++unit)
        sum.add(at(in_.weight_hh, unit * P + k), at(slopes, unit));
      N through = sum.result();
      if (!case_.recurrent_mask.empty())
        through = N(case_.recurrent_mask[static_cast<Index>(b * P + k)]) * through;
      at(grad_h, k) = v.reset ? N() : through + at(kept_h, k);
    }
    for (int64_t k = 0; k < I; ++k) {
      Sum<N> sum;
      for (int64_t unit = 0; unit < 4 * H; ++unit)
        sum.add(at(in_.weight_ih, unit * I + k), at(slopes, unit));
      at(values_.grad_x, (v.t * B + b) * I + k) = sum.result();
    }
    if (v.reset) grad_c.assign(grad_c.size(), N());
  }

  void slopes_of_unit(int64_t b, const StepValues& v, int64_t j, const N& grad_y, Vector& slopes,
                      Vector& grad_c) {
    const N one(1.0), i = at(v.i, j), f = at(v.f, j), g = at(v.g, j), o = at(v.o, j);
    const N shown = hyperbolic(at(v.shown_cell, j)), c_old = at(v.c_old, j);
    const bool peeps = !in_.peephole.empty();
    const N keep = share_c(v.t, b, j) * at(grad_c, j);
    const N slope_o = grad_y * shown * (o * (one - o));
    Sum<N> cell;
    cell.add((one - share_c(v.t, b, j)) * at(grad_c, j));
    cell.add(grad_y * o, one - shown * shown);
    if (peeps) cell.add(at(in_.peephole, 2 * H + j), slope_o);
    N grad = cell.result();
    if (clip_ > 0.0) grad = through_clip(at(v.raw, j), clip_, grad);
    const N slope_i = grad * g * (i * (one - i)), slope_f = grad * c_old * (f * (one - f));
    const N slope_g = grad * i * (one - g * g);
    Sum<N> before;
    before.add(keep);
    before.add(grad, f);
    if (peeps) before.add(at(in_.peephole, j), slope_i);
    if (peeps) before.add(at(in_.peephole, H + j), slope_f);
    at(grad_c, j) = before.result();
    at(slopes, j) = slope_i, at(slopes, H + j) = slope_f;
    at(slopes, 2 * H + j) = slope_g, at(slopes, 3 * H + j) = slope_o;
    if (!peeps) return;
    sums_peephole_[static_cast<Index>(j)].add(slope_i, c_old);
    sums_peephole_[static_cast<Index>(H + j)].add(slope_f, c_old);
    sums_peephole_[static_cast<Index>(2 * H + j)].add(slope_o, at(v.shown_cell, j));
  }

  void weight_gradients(int64_t b, const StepValues& v, const Vector& slopes) {
    for (int64_t unit = 0; unit < 4 * H; ++unit) {
      const N& slope = at(slopes, unit);
      for (int64_t k = 0; k < I; ++k)
        sums_ih_[static_cast<Index>(unit * I + k)].add(slope, at(in_.x, (v.t * B + b) * I + k));
      for (int64_t k = 0; k < P; ++k)
        sums_hh_[static_cast<Index>(unit * P + k)].add(slope, at(v.h_masked, k));
      sums_bias_[static_cast<Index>(unit)].add(slope);
    }
  }

  const LayerCase& case_;
  const LayerInputs<N>& in_;
  const int64_t T, B, I, H, P;
  const double clip_;
  LayerValues<N> values_;
  std::vector<StepValues> steps_;  // of the row in hand
  std::vector<Sum<N>> sums_ih_, sums_hh_, sums_bias_, sums_hr_, sums_peephole_;
};

}  // namespace test
