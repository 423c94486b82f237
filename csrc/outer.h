// Weight gradients: sums of outer products over the rows of a chunk, left^T times right, in
// register tiles.
//
// Both factors are copied so that a tile reads them from end to end: the left one in tiles of kRows
// columns, the right one in panels of kColumns. Every element is summed in the order of the rows,
// in blocks of kDepth, so it depends neither on the number of threads nor on who computes it.
#pragma once

#include <algorithm>
#include <cstring>

#include "lstm.h"
#include "product.h"

namespace carousel {

template <class S>
struct Outer {
  using V = typename S::V;
  static constexpr int kRows = S::kOuterRows;
  static constexpr int kColumns = S::kOuterVectors * S::kLanes;

  static constexpr int64_t panels(int64_t columns) { return (columns + kColumns - 1) / kColumns; }
  static constexpr int64_t right_floats(int64_t columns, int64_t rows) {
    return panels(columns) * kColumns * rows;
  }

  // Panels first to last of the right factor, whose row r has `columns` floats, each multiplied by
  // those of scale[r] where scale is not null.
  static void pack_right(const float* const* row, const float* const* scale, int64_t rows,
                         int64_t columns, int64_t first, int64_t last, float* packed) {
    for (int64_t p = first; p < last; ++p) {
      const int64_t start = p * kColumns, n = std::min<int64_t>(columns - start, kColumns);
      float* to = packed + start * rows;
      for (int64_t r = 0; r < rows; ++r, to += kColumns) {
        const float* from = row[r] + start;
        std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
        if (scale != nullptr)
          for (int64_t j = 0; j < n; ++j) to[j] *= scale[r][start + j];
        for (int64_t j = n; j < kColumns; ++j) to[j] = 0.0f;
      }
    }
  }

  // Columns first to last, both multiples of 16, of the left factor.
  static void pack_left(const float* const* row, int64_t rows, int64_t first, int64_t last,
                        float* packed) {
    constexpr int64_t kLine = 16;  // floats of a cache line, which is read once
    for (int64_t c = first; c < last; c += kLine) {
      float* to = packed + c * rows;
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t tile = 0; tile < kLine / kRows; ++tile)
          std::memcpy(to + (tile * rows + r) * kRows, row[r] + c + tile * kRows,
                      kRows * sizeof(float));
    }
  }

  // One tile, set or added to the first `height` rows and `width` columns at out, `stride` apart.
  static void tile(const float* left, const float* right, int64_t rows, bool add, float* out,
                   int64_t stride, int height, int width) {
    for (int64_t r = 0; r < rows; r += kDepth) {
      V sum[kRows][S::kOuterVectors];
      for (int i = 0; i < kRows; ++i)
        for (int v = 0; v < S::kOuterVectors; ++v) sum[i][v] = S::zero();
      accumulate(left + r * kRows, right + r * kColumns, std::min(rows - r, kDepth), sum);
      // Through memory, because sums that are stored below under conditions would live there all
      // along.
      float sums[kRows * kColumns];
      for (int i = 0; i < kRows; ++i)
        for (int v = 0; v < S::kOuterVectors; ++v)
          S::store(sums + i * kColumns + v * S::kLanes, sum[i][v]);
      for (int i = 0; i < height; ++i)
        put(out + i * stride, sums + i * kColumns, width, add || r > 0);
    }
  }

 private:
  static CAROUSEL_INLINE void accumulate(const float* left, const float* right, int64_t depth,
                                         V (&sum)[kRows][S::kOuterVectors]) {
    for (int64_t r = 0; r < depth; ++r, left += kRows, right += kColumns) {
      V column[S::kOuterVectors];
      for (int v = 0; v < S::kOuterVectors; ++v) column[v] = S::load(right + v * S::kLanes);
      for (int i = 0; i < kRows; ++i) {
        const V value = S::broadcast(left + i);
        for (int v = 0; v < S::kOuterVectors; ++v) sum[i][v] = S::fma(value, column[v], sum[i][v]);
      }
    }
  }

  static void put(float* to, const float* sums, int width, bool add) {
    for (int j = 0; j < width; j += S::kLanes, to += S::kLanes, sums += S::kLanes) {
      const V sum = S::load(sums);
      if (width - j >= S::kLanes) {
        S::store(to, add ? S::add(S::load(to), sum) : sum);
      } else {
        S::store_first(to, add ? S::add(S::load_first(to, width - j), sum) : sum, width - j);
      }
    }
  }
};

}  // namespace carousel
