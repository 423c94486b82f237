// Tensors as Python hands them over, seen through DLPack's C exchange API.
//
// PyTorch and others put a table of functions on their tensor type; one of them fills in where a
// tensor's numbers are, their type and strides, in nanoseconds and without a method call each. The
// layouts below are those of DLPack 1.3 (dmlc.github.io/dlpack), whose major version promises them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>

namespace carousel {

class Exchange {
 public:
  // From the capsule at type(tensor).__dlpack_c_exchange_api__. False where it is of a major
  // version that is not known here, or offers no views.
  bool use(nanobind::handle capsule) {
    const auto* table =
        static_cast<const Table*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    if (table == nullptr) throw nanobind::python_error();
    if (table->major != 1) return false;
    view_ = table->view;
    return view_ != nullptr;
  }

  // A float32 tensor in the CPU's memory; invalid for everything else, None among it.
  class View {
   public:
    View(const Exchange& exchange, nanobind::handle tensor) {
      if (exchange.view_ == nullptr || tensor.is_none()) return;
      if (exchange.view_(tensor.ptr(), &tensor_) != 0) {
        PyErr_Clear();
        return;
      }
      valid_ = tensor_.data != nullptr &&
               tensor_.device.device_type == nanobind::device::cpu::value &&
               tensor_.dtype == nanobind::dtype<float>();
    }

    // Whether it has this shape, and its last dimension is contiguous.
    template <class... Sizes>
    bool has(Sizes... sizes) const {
      const int64_t expected[] = {sizes...};
      if (!valid_ || tensor_.ndim != static_cast<int32_t>(sizeof...(sizes))) return false;
      for (int32_t d = 0; d < tensor_.ndim; ++d)
        if (tensor_.shape[d] != expected[d]) return false;
      return expected[tensor_.ndim - 1] <= 1 || stride(tensor_.ndim - 1) == 1;
    }
    // The same, and all of it is contiguous.
    template <class... Sizes>
    bool is(Sizes... sizes) const {
      if (!has(sizes...)) return false;
      int64_t run = 1;
      for (int32_t d = tensor_.ndim - 1; d >= 0; --d) {
        if (tensor_.shape[d] > 1 && stride(d) != run) return false;
        run *= tensor_.shape[d];
      }
      return true;
    }
    int32_t dimensions() const { return valid_ ? tensor_.ndim : 0; }
    int64_t size(int32_t d) const { return tensor_.shape[d]; }
    int64_t stride(int32_t d) const {
      if (tensor_.strides != nullptr) return tensor_.strides[d];
      int64_t run = 1;  // which is how DLPack says that it is contiguous
      for (int32_t k = tensor_.ndim - 1; k > d; --k) run *= tensor_.shape[k];
      return run;
    }
    float* data() const {
      if (!valid_) return nullptr;
      return reinterpret_cast<float*>(static_cast<char*>(tensor_.data) + tensor_.byte_offset);
    }

   private:
    nanobind::dlpack::dltensor tensor_;
    bool valid_ = false;
  };

 private:
  struct Table {  // DLPackExchangeAPI
    uint32_t major, minor;
    Table* previous;
    void* allocate;
    void* own;
    void* give;
    int (*view)(void* object, nanobind::dlpack::dltensor* out);
    void* stream;
  };

  int (*view_)(void*, nanobind::dlpack::dltensor*) = nullptr;
};

// The tensors of one layer of the textbook's cell, without projection, that fit each other; see
// Sequence and Weights in lstm.h.
struct PlainLayer {
  Exchange::View x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh;

  // x (T, B, I), h0 and c0 (1, B, H) or None, weight_ih (4H, I), weight_hh (4H, H), bias_ih and
  // bias_hh (4H) or None.
  PlainLayer(const Exchange& exchange, const nanobind::args& t)
      : x(exchange, t[0]),
        h0(exchange, t[1]),
        c0(exchange, t[2]),
        weight_ih(exchange, t[3]),
        weight_hh(exchange, t[4]),
        bias_ih(exchange, t[5]),
        bias_hh(exchange, t[6]) {
    if (x.dimensions() != 3 || weight_hh.dimensions() != 2) return;
    const int64_t B = x.size(1), I = x.size(2), H = weight_hh.size(1);
    const auto none_or = [&](int index, bool fitting) { return t[index].is_none() || fitting; };
    fits = x.has(x.size(0), B, I) && weight_ih.is(4 * H, I) && weight_hh.is(4 * H, H) &&
           none_or(1, h0.is(int64_t{1}, B, H)) && none_or(2, c0.is(int64_t{1}, B, H)) &&
           none_or(5, bias_ih.is(4 * H)) && none_or(6, bias_hh.is(4 * H)) && B > 0 && H > 0;
  }

  bool fits = false;
};

}  // namespace carousel
