// Teams of threads; see threads.h.
#include "threads.h"

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "denormals.h"

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace carousel {
namespace {

void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void take_part(Work work, void* context, Member member) {
  const FlushedDenormals flushed;
  work(context, member);
}

// Threads that sleep between calls. One team at a time: whoever comes meanwhile works alone.
class Pool {
 public:
  void run(int wanted, Work work, void* context) {
    std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
    if (!turn.owns_lock() || wanted <= 1) {
      take_part(work, context, {0, 1});
      return;
    }
    {
      std::lock_guard<std::mutex> hold(mutex_);
      wanted = grow(wanted);
      work_ = work;
      context_ = context;
      count_ = wanted;
      left_ = wanted - 1;
      ++round_;
    }
    wake_.notify_all();
    take_part(work, context, {0, wanted});
    std::unique_lock<std::mutex> hold(mutex_);
    done_.wait(hold, [this] { return left_ == 0; });
  }

 private:
  // Makes threads until `wanted` can work, the caller among them; returns how many can: fewer where
  // the system refuses one.
  int grow(int wanted) {
    try {
      while (static_cast<int>(threads_.size()) < wanted - 1) {
        const int index = static_cast<int>(threads_.size()) + 1;
        threads_.emplace_back([this, index, seen = round_] { serve(index, seen); });
      }
    } catch (const std::system_error&) {
      return static_cast<int>(threads_.size()) + 1;
    }
    return wanted;
  }

  void serve(int index, unsigned seen) {
    for (;;) {
      Work work;
      void* context;
      int count;
      {
        std::unique_lock<std::mutex> hold(mutex_);
        wake_.wait(hold, [&] { return round_ != seen; });
        seen = round_;
        if (index >= count_) continue;
        work = work_;
        context = context_;
        count = count_;
      }
      take_part(work, context, {index, count});
      std::lock_guard<std::mutex> hold(mutex_);
      if (--left_ == 0) done_.notify_one();
    }
  }

  std::mutex turn_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Work work_ = nullptr;
  void* context_ = nullptr;
  int count_ = 0, left_ = 0;
  unsigned round_ = 0;
};

// Never destroyed: its threads may sleep in it until the process is gone.
std::atomic<Pool*> pool{nullptr};

Pool& own_pool() {
  Pool* known = pool.load(std::memory_order_acquire);
  if (known != nullptr) return *known;
  Pool* fresh = new Pool;
  if (pool.compare_exchange_strong(known, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *known;
}

#if defined(__unix__) || defined(__APPLE__)
std::atomic<bool> forked{false};

std::atomic<bool> has_open_mp_at_fork{false};

// In the parent, which alone may ask.
void before_fork() { has_open_mp_at_fork.store(dlsym(RTLD_DEFAULT, "GOMP_parallel") != nullptr); }

void in_child() {
  if (has_open_mp_at_fork.load()) forked.store(true);
  pool.store(nullptr);  // its threads exist in the parent only
}

struct OpenMP {
  void (*parallel)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*thread)() = nullptr;
  int (*threads)() = nullptr;

  OpenMP() {
    find(parallel, "GOMP_parallel");
    find(thread, "omp_get_thread_num");
    find(threads, "omp_get_num_threads");
  }
  bool usable() const {
    return parallel != nullptr && thread != nullptr && threads != nullptr && !forked.load();
  }

 private:
  template <class F>
  static void find(F& function, const char* name) {
    function = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
  }
};

// From the start: what is forked before our first team may have used OpenMP for other work.
[[maybe_unused]] const int watching_forks = pthread_atfork(before_fork, nullptr, in_child);

const OpenMP& open_mp() {
  static const OpenMP found;
  return found;
}
#endif

}  // namespace

void Barrier::wait(int members) {
  if (members == 1) return;
  const int round = round_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members) {
    arrived_.store(0, std::memory_order_relaxed);
    round_.store(round + 1, std::memory_order_release);
    return;
  }
  // A step takes microseconds; a member that is much later has lost its core, perhaps to us.
  for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
    if (spins < 4000) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void run_team(int wanted, Work work, void* context) {
  if (wanted <= 1) {
    take_part(work, context, {0, 1});
    return;
  }
#if defined(__unix__) || defined(__APPLE__)
  if (open_mp().usable()) {
    struct Call {
      Work work;
      void* context;
    } call{work, context};
    open_mp().parallel(
        [](void* p) {
          const Call& c = *static_cast<Call*>(p);
          take_part(c.work, c.context, {open_mp().thread(), open_mp().threads()});
        },
        &call, static_cast<unsigned>(wanted), 0);
    return;
  }
#endif
  own_pool().run(wanted, work, context);
}

const char* team_kind() {
#if defined(__unix__) || defined(__APPLE__)
  if (open_mp().usable()) return "OpenMP";
#endif
  return "own";
}

}  // namespace carousel
