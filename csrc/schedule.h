// Who computes what: rows by descending length, and the grid of row groups and unit groups.
//
// Knows nothing of gates. A team of n members is a grid of row groups times unit groups. Members of
// one row group share its rows and each compute some blocks of units; they wait for each other at
// every step, because a step needs the whole hidden state of the last. Row groups are independent.
#pragma once

#include <algorithm>
#include <cstring>

#include "lstm.h"
#include "threads.h"

namespace carousel {

// Memory for one call, handed out piece by piece from one block; counts only, where it has none.
class Workspace {
 public:
  explicit Workspace(void* memory) : memory_(static_cast<char*>(memory)) {}

  template <class T>
  T* take(int64_t count) {
    T* piece = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
  size_t used() const { return used_; }

 private:
  char* memory_;
  size_t used_ = 0;
};

// Rows by descending length, so that those which are still running are always the first.
struct Order {
  int64_t* rows;     // (B), which row of the batch stands at each place
  int64_t* running;  // (T + 1), how many rows have more than s steps, at s
  int64_t longest;

  static Order take(Workspace& workspace, const Shape& shape) {
    return {workspace.take<int64_t>(shape.batch), workspace.take<int64_t>(shape.steps + 1), 0};
  }

  // Counting sort, stable.
  void fill(const Shape& shape, const int64_t* lengths) {
    const int64_t T = shape.steps, B = shape.batch;
    if (lengths == nullptr) {
      longest = B > 0 ? T : 0;
      for (int64_t b = 0; b < B; ++b) rows[b] = b;
      for (int64_t s = 0; s <= T; ++s) running[s] = s < T ? B : 0;
      return;
    }
    longest = 0;
    for (int64_t s = 0; s <= T; ++s) running[s] = 0;
    for (int64_t b = 0; b < B; ++b) {
      if (lengths[b] > 0) ++running[lengths[b] - 1];
      if (lengths[b] > longest) longest = lengths[b];
    }
    for (int64_t s = T - 1; s >= 0; --s) running[s] += running[s + 1];
    // A row of n steps comes after all longer ones, so running[n] is the next free place for it ...
    for (int64_t b = 0; b < B; ++b) rows[running[lengths[b]]++] = b;
    // ... and is left as the number of rows of n steps or more, which belongs one entry earlier.
    for (int64_t s = 0; s < T; ++s) running[s] = running[s + 1];
    running[T] = 0;
  }
};

// Half-open.
struct Range {
  int64_t begin, end;

  static Range share(int64_t count, int64_t index, int64_t of) {
    return {count * index / of, count * (index + 1) / of};
  }
};

// A member's place in the grid.
struct Place {
  int row_group, row_groups;
  int unit_group, unit_groups;
  Barrier* group_barrier;
  Barrier* team_barrier;

  static Place of(Member member, int unit_groups, Barrier* barriers) {
    const int groups = member.count / unit_groups;
    const int row_group = member.index / unit_groups;
    return {row_group, groups, member.index % unit_groups, unit_groups, barriers + 1 + row_group,
            barriers};
  }

  void wait_for_group() const { group_barrier->wait(unit_groups); }
  void wait_for_team() const { team_barrier->wait(row_groups * unit_groups); }

  // Rows are dealt like cards, so that every group gets long and short ones: place k of the order
  // is local row k / row_groups of group k % row_groups.
  int64_t local_rows(int64_t running) const {
    return running > row_group ? (running - row_group + row_groups - 1) / row_groups : 0;
  }
  int64_t position(int64_t local) const { return row_group + local * row_groups; }
};

// Columns that a member of a row group computes.
struct Share {
  int64_t begin, end;
  int64_t whole;  // the end with what pads the last of them

  // In whole panels where they can be dealt evenly, for their tiles are the fastest; else in
  // vectors.
  static Share of(const Place& place, int64_t columns, int64_t panel, int64_t vector) {
    const int64_t unit = (columns + panel - 1) / panel % place.unit_groups == 0 ? panel : vector;
    const Range mine =
        Range::share((columns + unit - 1) / unit, place.unit_group, place.unit_groups);
    const bool last = place.unit_group == place.unit_groups - 1;
    const int64_t end = std::min(mine.end * unit, columns);
    return {std::min(mine.begin * unit, columns), end, last ? padded(columns) : end};
  }
};

// How many members share the units of each row group; divides the size of the team. Sharing units
// costs a barrier a step; sharing rows has every member read all weights at every step, which pays
// only where they stay in its second-level cache, and leaves members idle where there are fewer
// rows than members.
inline int unit_groups(const Shape& shape, int members) {
  const int64_t weight_bytes =
      4 * shape.hidden * shape.output * static_cast<int64_t>(sizeof(float));
  for (int groups = 1; groups < members; ++groups) {
    if (members % groups != 0) continue;
    const int64_t rows = shape.batch * groups / members;  // of each row group
    if (rows >= 6 && weight_bytes / groups <= (256 << 10)) return groups;
  }
  return members;
}

}  // namespace carousel
