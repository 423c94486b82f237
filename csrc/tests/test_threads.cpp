// Teams of threads and their barrier: every member once, concurrent callers, forks, both kinds, and
// how their threads round.
#include "threads.h"

#include <cfloat>
#include <thread>
#include <vector>

#include "check.h"
#include "denormals.h"

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define CAROUSEL_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAROUSEL_THREAD_SANITIZER 1
#endif
#endif

namespace {

using carousel::Barrier;
using carousel::Member;
using test::check;

constexpr int kMost = 6;

struct Team {
  Barrier barrier;
  int count[kMost] = {};  // what each member was told of the size, 0 where there is none
  int runs[kMost] = {};
  int round[kMost] = {};
  int late = 0;  // seen by member 0
  bool caller = false;
  std::thread::id by = std::this_thread::get_id();
};

constexpr int kRounds = 50;

// Each member says in every round where it is; between two barriers all must say the same.
void take_part(void* context, Member member) {
  Team& team = *static_cast<Team*>(context);
  team.count[member.index] = member.count;
  ++team.runs[member.index];
  if (team.by == std::this_thread::get_id()) team.caller = true;
  for (int round = 1; round <= kRounds; ++round) {
    team.round[member.index] = round;
    team.barrier.wait(member.count);
    if (member.index == 0)
      for (int k = 0; k < member.count; ++k) team.late += team.round[k] != round;
    team.barrier.wait(member.count);
  }
}

void test_team(int wanted) {
  Team team;
  carousel::run_team(wanted, &take_part, &team);
  const int count = team.count[0];
  check(count >= 1 && count <= (wanted > 1 ? wanted : 1), "a team of %d, wanted %d", count, wanted);
  for (int k = 0; k < kMost; ++k) {
    check(team.runs[k] == (k < count ? 1 : 0), "member %d of %d ran %d times", k, count,
          team.runs[k]);
    check(team.count[k] == (k < count ? count : 0), "member %d of %d was told %d", k, count,
          team.count[k]);
  }
  check(team.caller, "the caller does not work in its team of %d", count);
  check(team.late == 0, "a barrier of %d let members pass %d times", count, team.late);
}

void test_sizes() {
  for (const int wanted : {2, 4, 3, 1, 6, 2, 5, 0})
    for (int repetition = 0; repetition < 5; ++repetition) test_team(wanted);
}

// That a team is one at all where nothing stands in the way.
void test_size_is_had(int wanted) {
  Team team;
  carousel::run_team(wanted, &take_part, &team);
  check(team.count[0] == wanted, "alone, and yet a team of %d, wanted %d", team.count[0], wanted);
}

// Half of the least normal number, computed when asked: 0 where such numbers count as 0.
float half_of_the_least() {
  volatile float least = FLT_MIN;
  return least * 0.5f;
}

void test_denormals(int wanted) {
  float found[kMost];
  for (float& value : found) value = -1;
  carousel::run_team(
      wanted,
      [](void* context, Member member) {
        static_cast<float*>(context)[member.index] = half_of_the_least();
      },
      found);
  const float expected = carousel::FlushedDenormals::kWorks ? 0.0f : FLT_MIN / 2;
  check(found[0] == expected, "the caller works with denormal numbers");
  for (int k = 1; k < kMost; ++k)
    check(found[k] == expected || found[k] == -1, "member %d works with denormal numbers", k);
  check(half_of_the_least() > 0, "a team of %d leaves its caller without denormal numbers", wanted);
}

void test_concurrent_callers() {
  std::vector<std::thread> callers;
  for (int k = 0; k < 4; ++k)
    callers.emplace_back([k] {
      for (int repetition = 0; repetition < 20; ++repetition) test_team(2 + k % 3);
    });
  for (std::thread& caller : callers) caller.join();
}

#if defined(__unix__) || defined(__APPLE__)

// Runs work in a child of fork; its failures are ours, and so is its end by a signal.
template <class F>
void in_child(const char* what, F work) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    alarm(100);
    test::failures = 0;
    work();
    std::fflush(stdout);
    _exit(test::failures > 0 ? 1 : 0);
  }
  int status = 0;
  check(child > 0 && waitpid(child, &status, 0) == child, "%s: no child", what);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: failed in a child, status %d", what,
        status);
}

void in_forked() {
  check(carousel::team_kind()[0] == 'o', "a child of fork uses OpenMP");
  test_size_is_had(3);
  test_sizes();
  in_child("a grandchild", test_sizes);
}

// While other threads are at work, which the child does not have.
void test_fork_beside_teams() {
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done.load()) test_team(3);
  });
  for (int k = 0; k < 5; ++k) in_child("a fork beside a team", [] { test_size_is_had(2); });
  done.store(true);
  other.join();
}

void test_forks() {
  in_child("a fork", in_forked);
  test_fork_beside_teams();
  test_size_is_had(4);  // the parent goes on
}

// In a process that has GNU OpenMP, as PyTorch's has.
void with_open_mp() {
#if defined(__linux__) && !defined(CAROUSEL_THREAD_SANITIZER)  // which cannot see into OpenMP
  if (dlopen("libgomp.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    std::printf("not tested: there is no libgomp.so.1\n");
    return;
  }
  check(carousel::team_kind()[0] == 'O', "OpenMP is there and not used");
  test_sizes();
  test_size_is_had(3);
  test_denormals(3);
  // The threads of OpenMP are PyTorch's, who may want such numbers.
  float after[kMost] = {};
  using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
  const auto parallel = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  static int (*const thread)() =
      reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"));
  parallel([](void* p) { static_cast<float*>(p)[thread()] = half_of_the_least(); }, after, 3, 0);
  for (int k = 0; k < 3; ++k) check(after[k] > 0, "thread %d lost its denormal numbers", k);
  test_concurrent_callers();
  test_forks();
#endif
}

#endif

}  // namespace

int main() {
#if defined(__unix__) || defined(__APPLE__)
  // First, and in a process of its own: what was found is remembered.
  in_child("OpenMP", with_open_mp);
#endif
  check(carousel::team_kind()[0] == 'o', "OpenMP is used, though nothing loaded it");
  test_sizes();
  test_size_is_had(4);
  for (const int wanted : {1, 2, 4}) test_denormals(wanted);
  test_concurrent_callers();
#if defined(__unix__) || defined(__APPLE__)
  test_forks();
#endif
  return test::result();
}
