// Threads that work on one call together: PyTorch's own where there are some, ours where there are
// none.
//
// Where the process has loaded GNU OpenMP, as PyTorch does on Linux, a team is one of its parallel
// regions: the same threads, so that two pools never wait for each other's cores. Elsewhere, and in
// a child of fork, whose OpenMP is unusable, a pool of our own does the work. Results never depend
// on the size of a team.
#pragma once

#include <atomic>

namespace carousel {

// Where the members of a team wait for each other. Spins, because a step takes microseconds.
class Barrier {
 public:
  void wait(int members);

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> round_{0};
};

// A member's place in its team.
struct Member {
  int index;
  int count;
};

using Work = void (*)(void* context, Member member);

// Runs work on at most `wanted` threads at once, the caller among them, and waits for them all. The
// team may be smaller: where the system gives fewer, or where another thread of the process is
// using them. Each works with denormal numbers as zeros; see denormals.h.
void run_team(int wanted, Work work, void* context);

// "OpenMP" or "own": what the next team would be made of.
const char* team_kind();

}  // namespace carousel
