#include "dispatch.hpp"

#include <array>
#include <atomic>

namespace walstreet {

namespace {

struct Level {
  const char* name;
  const KernelTable* table;
  bool (*is_available)();
};

bool always() { return true; }

#ifdef WALSTREET_X86
// These also ask whether the operating system saves the wide registers.
bool has_avx2() { return __builtin_cpu_supports("avx2") != 0; }
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0;
}

constexpr std::array<Level, 3> levels = {{
    {"baseline", &baseline::kernel_table, always},
    {"avx2", &avx2::kernel_table, has_avx2},
    {"avx512", &avx512::kernel_table, has_avx512},
}};
#else
constexpr std::array<Level, 1> levels = {{{"baseline", &baseline::kernel_table, always}}};
#endif

const Level* best_level() {
  const Level* best = &levels.front();
  for (const Level& level : levels) {
    best = level.is_available() ? &level : best;
  }
  return best;
}

std::atomic<const Level*>& active() {
  static std::atomic<const Level*> level{best_level()};
  return level;
}

}  // namespace

std::vector<std::string> available_levels() {
  std::vector<std::string> names;
  for (const Level& level : levels) {
    if (level.is_available()) {
      names.emplace_back(level.name);
    }
  }
  return names;
}

std::vector<std::string> compiled_levels() {
  std::vector<std::string> names;
  for (const Level& level : levels) {
    names.emplace_back(level.name);
  }
  return names;
}

std::string active_level() { return active().load()->name; }

bool set_level(const std::string& name) {
  for (const Level& level : levels) {
    if (name == level.name && level.is_available()) {
      active().store(&level);
      return true;
    }
  }
  return false;
}

const KernelTable& kernels() { return *active().load()->table; }

}  // namespace walstreet
