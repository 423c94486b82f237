// Who computes what: the order of rows against a plain sort, and shares that cover all work once.
#include "schedule.h"

#include <algorithm>
#include <vector>

#include "check.h"
#include "random.h"

namespace {

using carousel::Order;
using carousel::Place;
using carousel::Range;
using carousel::Shape;
using carousel::Workspace;
using test::check;
using test::Random;

// A sort in which rows of equal length keep their order.
void test_order(Random& random, int64_t steps, int64_t batch, bool ragged) {
  const Shape shape{steps, batch, 1, 1, 1};
  std::vector<int64_t> lengths(static_cast<size_t>(batch), steps);
  if (ragged)
    for (int64_t& length : lengths) length = random.between(0, steps);
  std::vector<int64_t> sorted(static_cast<size_t>(batch));
  for (size_t b = 0; b < sorted.size(); ++b) sorted[b] = static_cast<int64_t>(b);
  const auto length = [&](int64_t b) { return lengths[static_cast<size_t>(b)]; };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](int64_t a, int64_t b) { return length(a) > length(b); });

  std::vector<int64_t> rows(static_cast<size_t>(batch), -1),
      running(static_cast<size_t>(steps + 1), -1);
  Order order{rows.data(), running.data(), -1};
  order.fill(shape, ragged ? lengths.data() : nullptr);
  check(rows == sorted, "T=%d B=%d: rows in the wrong order", static_cast<int>(steps),
        static_cast<int>(batch));
  for (int64_t s = 0; s <= steps; ++s) {
    const auto longer =
        std::count_if(lengths.begin(), lengths.end(), [&](int64_t n) { return n > s; });
    check(running[static_cast<size_t>(s)] == longer, "T=%d B=%d: %d rows run at step %d, not %d",
          static_cast<int>(steps), static_cast<int>(batch),
          static_cast<int>(running[static_cast<size_t>(s)]), static_cast<int>(s),
          static_cast<int>(longer));
  }
  if (batch == 0) return;
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  check(order.longest == longest, "T=%d B=%d: the longest has %d steps, not %d",
        static_cast<int>(steps), static_cast<int>(batch), static_cast<int>(order.longest),
        static_cast<int>(longest));
}

void test_workspace() {
  Workspace count(nullptr);
  check(count.take<char>(1) == nullptr && count.take<double>(9) == nullptr,
        "memory out of nowhere");
  check(count.used() == 64 + 128, "pieces of 1 and 72 bytes take %zu", count.used());
  alignas(64) char block[256];
  Workspace memory(block);
  const Order order = Order::take(memory, {7, 3, 1, 1, 1});
  check(reinterpret_cast<char*>(order.rows) == block, "the first piece starts elsewhere");
  check(reinterpret_cast<char*>(order.running) == block + 64, "pieces do not start at lines");
  check(memory.used() == 128, "3 rows and 8 steps take %zu", memory.used());
}

void test_range(Random& random) {
  for (int k = 0; k < 200; ++k) {
    const int64_t count = random.between(0, 100), of = random.between(1, 9);
    int64_t end = 0;
    for (int64_t index = 0; index < of; ++index) {
      const Range share = Range::share(count, index, of);
      const int64_t size = share.end - share.begin;
      check(share.begin == end, "a gap between shares");
      check(size >= count / of && size <= (count + of - 1) / of, "a share that is not fair");
      end = share.end;
    }
    check(end == count, "shares end at %d of %d", static_cast<int>(end), static_cast<int>(count));
  }
}

// Every running row belongs to one row group, and stands there at the place that position() says.
void test_place(int members, int unit_groups, int64_t running) {
  std::vector<carousel::Barrier> barriers(static_cast<size_t>(members + 1));
  std::vector<int> seen(static_cast<size_t>(running * unit_groups), 0);
  for (int index = 0; index < members; ++index) {
    const Place place = Place::of({index, members}, unit_groups, barriers.data());
    check(place.row_group < place.row_groups && place.unit_group < place.unit_groups,
          "a place outside of the grid");
    check(place.row_groups * place.unit_groups == members, "a grid of another size");
    check(place.team_barrier == barriers.data() &&
              place.group_barrier == barriers.data() + 1 + place.row_group,
          "a barrier of others");
    const int64_t rows = place.local_rows(running);
    check(rows >= running / place.row_groups && rows <= running / place.row_groups + 1,
          "rows are not dealt fairly");
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t position = place.position(r);
      check(position < running, "a row that does not run");
      if (position < running)
        ++seen[static_cast<size_t>(position * unit_groups + place.unit_group)];
    }
  }
  for (const int times : seen) check(times == 1, "work that is done %d times", times);
}

void test_unit_groups() {
  for (int members = 1; members <= 12; ++members)
    for (const int64_t batch : {0, 1, 2, 5, 6, 7, 24, 100, 1000})
      for (const int64_t hidden : {1, 64, 128, 512, 2048})
        for (const int64_t output : {hidden, (hidden + 1) / 2}) {
          const Shape shape{10, batch, 8, hidden, output};
          const int groups = carousel::unit_groups(shape, members);
          check(groups >= 1 && groups <= members && members % groups == 0,
                "%d unit groups in a team of %d", groups, members);
          if (groups < 1) continue;
          // No member is idle where units can be shared instead.
          check(groups == members || batch >= members / groups, "%d rows for %d row groups",
                static_cast<int>(batch), members / groups);
        }
}

}  // namespace

int main() {
  Random random(19);
  for (int k = 0; k < 300; ++k)
    test_order(random, random.between(0, 12), random.between(0, 20), random.chance(0.8));
  test_workspace();
  test_range(random);
  for (int members = 1; members <= 8; ++members)
    for (int groups = 1; groups <= members; ++groups)
      for (int64_t running = 0; members % groups == 0 && running <= 20; ++running)
        test_place(members, groups, running);
  test_unit_groups();
  return test::result();
}
