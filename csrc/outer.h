// Weight gradients: sums of outer products over the rows of a chunk, left^T times right, in
// register tiles.
//
// Both factors are copied so that a tile reads them from end to end: the left one in tiles of kRows
// columns, the right one in panels of kColumns, the last of as many whole vectors as it needs. The
// right factor may be two matrices side by side. Every element is summed in the order of the rows,
// in chains of kChainRows, so it depends neither on the number of threads nor on who computes it.
#pragma once

#include <algorithm>
#include <cstring>

#include "lstm.h"
#include "product.h"

namespace carousel {

// Columns of the right factor that lie in one matrix. Their rows are multiplied by those of scale
// where that is not null.
struct RightRows {
  const float* const* row;
  const float* const* scale;
  int64_t columns;
};

// Where the sums of a matrix's columns go.
struct Sums {
  float* matrix;  // at the first row of the tile
  int64_t columns;
};

template <class S>
struct Outer {
  using V = typename S::V;
  static constexpr int kRows = S::kOuterRows;
  static constexpr int kColumns = S::kOuterVectors * S::kLanes;
  static constexpr int64_t kChainRows = 256;

  static constexpr int64_t panels(int64_t columns) { return (columns + kColumns - 1) / kColumns; }
  static constexpr int64_t right_floats(int64_t columns, int64_t rows) {
    return (columns + S::kLanes - 1) / S::kLanes * S::kLanes * rows;
  }
  // Columns that panel p of `columns` holds: whole vectors.
  static constexpr int64_t width(int64_t columns, int64_t p) {
    const int64_t whole = (columns + S::kLanes - 1) / S::kLanes * S::kLanes;
    return std::min<int64_t>(kColumns, whole - p * kColumns);
  }

  // Panels first to last of the right factor, which is both matrices side by side.
  static void pack_right(const RightRows& one, const RightRows& other, int64_t rows, int64_t first,
                         int64_t last, float* packed) {
    const int64_t columns = one.columns + other.columns;
    for (int64_t p = first; p < last; ++p) {
      const int64_t start = p * kColumns, wide = width(columns, p);
      float* to = packed + start * rows;
      for (int64_t r = 0; r < rows; ++r, to += wide) {
        const int64_t written = copy(one, r, start, wide, to);
        const int64_t begin = start + written - one.columns;
        const int64_t more = copy(other, r, begin, wide - written, to + written);
        std::fill(to + written + more, to + wide, 0.0f);
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

  // One tile: panel p of the right factor, `height` rows, set or added to the matrices of its
  // columns.
  static void tile(const float* left, const float* right, int64_t rows, bool add, int64_t p,
                   const Sums& one, const Sums& other, int height) {
    const int64_t wide = width(one.columns + other.columns, p);
    right += p * kColumns * rows;
    for (int64_t r = 0; r < rows; r += kChainRows) {
      float sums[kRows * kColumns];
      const int64_t depth = std::min(rows - r, kChainRows);
      accumulate<S::kOuterVectors>(left + r * kRows, right + r * wide, depth, wide, sums);
      const int64_t start = p * kColumns;
      const int64_t here = std::clamp<int64_t>(one.columns - start, 0, wide);
      const int64_t there = std::min(wide - here, one.columns + other.columns - start - here);
      for (int i = 0; i < height; ++i) {
        const float* from = sums + i * wide;
        put(one.matrix + i * one.columns + start, from, here, add || r > 0);
        put(other.matrix + i * other.columns + start + here - one.columns, from + here, there,
            add || r > 0);
      }
    }
  }

 private:
  // Up to `most` floats of row r from column `begin` on; returns how many there were.
  static int64_t copy(const RightRows& from, int64_t r, int64_t begin, int64_t most, float* to) {
    const int64_t n = std::min(from.columns - begin, most);
    if (n <= 0) return 0;
    std::memcpy(to, from.row[r] + begin, static_cast<size_t>(n) * sizeof(float));
    if (from.scale != nullptr)
      for (int64_t j = 0; j < n; ++j) to[j] *= from.scale[r][begin + j];
    return n;
  }

  // Sums of a panel of `wide` columns, at most kVectors vectors. They come back in memory, because
  // sums that are stored under conditions would live there all along.
  template <int kVectors>
  static void accumulate(const float* left, const float* right, int64_t depth, int64_t wide,
                         float* sums) {
    if constexpr (kVectors > 1)
      if (wide < kVectors * S::kLanes)
        return accumulate<kVectors - 1>(left, right, depth, wide, sums);
    V sum[kRows][kVectors];
    for (int i = 0; i < kRows; ++i)
      for (int v = 0; v < kVectors; ++v) sum[i][v] = S::zero();
    for (int64_t r = 0; r < depth; ++r, left += kRows, right += kVectors * S::kLanes) {
      V column[kVectors];
      for (int v = 0; v < kVectors; ++v) column[v] = S::load(right + v * S::kLanes);
      for (int i = 0; i < kRows; ++i) {
        const V value = S::broadcast(left + i);
        for (int v = 0; v < kVectors; ++v) sum[i][v] = S::fma(value, column[v], sum[i][v]);
      }
    }
    for (int i = 0; i < kRows; ++i)
      for (int v = 0; v < kVectors; ++v) S::store(sums + (i * kVectors + v) * S::kLanes, sum[i][v]);
  }

  static void put(float* to, const float* sums, int64_t width, bool add) {
    for (int64_t j = 0; j < width; j += S::kLanes, to += S::kLanes, sums += S::kLanes) {
      if (width - j >= S::kLanes) {
        const V sum = S::load(sums);
        S::store(to, add ? S::add(S::load(to), sum) : sum);
      } else {
        const int n = static_cast<int>(width - j);
        const V sum = S::load_first(sums, n);
        S::store_first(to, add ? S::add(S::load_first(to, n), sum) : sum, n);
      }
    }
  }
};

}  // namespace carousel
