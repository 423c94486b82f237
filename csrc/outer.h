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
#include "words.h"

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
  using W = Words<S>;
  static constexpr int kRows = S::kOuterRows;
  static constexpr int kColumns = S::kOuterVectors * S::kLanes;
  static constexpr int64_t kChainRows = 256;
  static constexpr int64_t kChainWords = kChainRows / W::kTerms;

  static constexpr int64_t panels(int64_t columns) { return (columns + kColumns - 1) / kColumns; }
  static constexpr int64_t right_floats(int64_t columns, int64_t rows) {
    return whole_vectors<S>(columns) * rows;
  }
  // Columns that panel p of `columns` holds: whole vectors.
  static constexpr int64_t width(int64_t columns, int64_t p) {
    return std::min<int64_t>(kColumns, whole_vectors<S>(columns) - p * kColumns);
  }

  // Panels first to last of the right factor, which is both matrices side by side.
  static void pack_right(const RightRows& one, const RightRows& other, int64_t rows, int64_t first,
                         int64_t last, float* packed) {
    const int64_t columns = one.columns + other.columns;
    for (int64_t p = first; p < last; ++p) {
      const int64_t start = p * kColumns, wide = width(columns, p);
      float* to = packed + start * W::count(rows);
      for (int64_t r = 0; r < rows; r += W::kTerms, to += wide) {
        if constexpr (W::kTerms == 1) {
          gather(one, other, r, start, wide, to);
        } else {
          float line[W::kTerms][kColumns];
          for (int64_t t = 0; t < W::kTerms; ++t) {
            if (r + t < rows) {
              gather(one, other, r + t, start, wide, line[t]);
            } else {
              std::fill_n(line[t], wide, 0.0f);
            }
          }
          for (int64_t j = 0; j < wide; j += S::kLanes) {
            const V terms[] = {S::load(line[0] + j), S::load(line[1] + j)};
            S::store(to + j, W::join(terms));
          }
        }
      }
    }
  }

  // Columns first to last, both multiples of 16, of the left factor.
  static void pack_left(const float* const* row, int64_t rows, int64_t first, int64_t last,
                        float* packed) {
    constexpr int64_t kLine = 16;  // floats of a cache line, which is read once
    for (int64_t c = first; c < last; c += kLine) {
      const int64_t words = W::count(rows);
      float* to = packed + c * words;
      for (int64_t k = 0; k < words; ++k) {
        const float* from = row[k * W::kTerms] + c;
        [[maybe_unused]] float line[kLine];
        if constexpr (W::kTerms > 1) {
          const float* next = 2 * k + 1 < rows ? row[2 * k + 1] + c : nullptr;
          for (int64_t j = 0; j < kLine; j += S::kLanes) {
            const V terms[] = {S::load(from + j), next == nullptr ? S::zero() : S::load(next + j)};
            S::store(line + j, W::join(terms));
          }
          from = line;
        }
        for (int64_t tile = 0; tile < kLine / kRows; ++tile)
          std::memcpy(to + (tile * words + k) * kRows, from + tile * kRows, kRows * sizeof(float));
      }
    }
  }

  // One tile: panel p of the right factor, `height` rows, set or added to the matrices of its
  // columns.
  static void tile(const float* left, const float* right, int64_t rows, bool add, int64_t p,
                   const Sums& one, const Sums& other, int height) {
    const int64_t wide = width(one.columns + other.columns, p);
    prefetch(p, wide, one, other, height);
    const int64_t words = W::count(rows);
    right += p * kColumns * words;
    for (int64_t r = 0; r < words; r += kChainWords) {
      float sums[kRows * kColumns];
      const int64_t depth = std::min(words - r, kChainWords);
      accumulate<S::kOuterVectors>(left + r * kRows, right + r * wide, depth, wide, sums);
      const int64_t start = p * kColumns;
      const int64_t here = std::clamp<int64_t>(one.columns - start, 0, wide);
      const int64_t there = std::min(wide - here, one.columns + other.columns - start - here);
      for (int i = 0; i < height; ++i) {
        const float* from = sums + i * wide;
        put(one.matrix + i * one.columns + start, from, here, add || r > 0);
        if (there > 0)  // or there may be no other matrix
          put(other.matrix + i * other.columns + start + here - one.columns, from + here, there,
              add || r > 0);
      }
    }
  }

 private:
  // What a tile will be added to comes from far away: it is called before the sums are made.
  static void prefetch(int64_t p, int64_t wide, const Sums& one, const Sums& other, int height) {
#if defined(__GNUC__)
    for (int64_t j = 0; j < wide; j += 16) {
      const int64_t column = p * kColumns + j;
      const bool first = column < one.columns;
      const float* to = first ? one.matrix + column : other.matrix + (column - one.columns);
      const int64_t stride = first ? one.columns : other.columns;
      for (int i = 0; i < height; ++i) __builtin_prefetch(to + i * stride, 1);
    }
#endif
  }

  // Columns start to start + wide of row r of both matrices, zeros past the end.
  static void gather(const RightRows& one, const RightRows& other, int64_t r, int64_t start,
                     int64_t wide, float* to) {
    const int64_t written = copy(one, r, start, wide, to);
    const int64_t begin = start + written - one.columns;
    const int64_t more = copy(other, r, begin, wide - written, to + written);
    std::fill(to + written + more, to + wide, 0.0f);
  }

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
        for (int v = 0; v < kVectors; ++v) sum[i][v] = W::multiply_add(value, column[v], sum[i][v]);
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
