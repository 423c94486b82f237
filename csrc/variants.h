// What the cell's variants do to one vector of a row, and vectors that are cut off at a row's end.
#pragma once

#include "lstm.h"

namespace carousel {

inline bool is_plain(const Variant& v) {
  return !v.peepholes && v.cell_clip == 0.0f && v.zoneout_h == 0.0f && v.zoneout_c == 0.0f &&
         v.zoneout_h_mask == nullptr && v.zoneout_c_mask == nullptr;
}

// The share of the old value that one vector of a row keeps under zoneout.
template <class S>
typename S::V kept_share(const uint8_t* mask, float rate, int lanes) {
  if (mask == nullptr) return S::set(rate);
  return lanes == S::kLanes ? S::ones_where(mask) : S::ones_where(mask, lanes);
}

// Zoneout: the old value where share is 1, the fresh one where it is 0.
template <class S>
typename S::V mixed(typename S::V fresh, typename S::V old, typename S::V share) {
  return S::fma(share, old, S::mul(S::sub(S::set(1.0f), share), fresh));
}

template <class S>
typename S::V clipped(typename S::V c, float bound) {
  return S::at_most(S::at_least(c, -bound), bound);
}

// The first lanes of a vector; the others are 0 when read and stay as they are when written.
template <class S>
typename S::V load_some(const float* p, int lanes) {
  return lanes == S::kLanes ? S::load(p) : S::load_first(p, lanes);
}
template <class S>
void store_some(float* p, typename S::V v, int lanes) {
  if (lanes == S::kLanes) {
    S::store(p, v);
  } else {
    S::store_first(p, v, lanes);
  }
}

}  // namespace carousel
