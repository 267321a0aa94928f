// Owns sums over a whole array: eight lane accumulators, then one fixed tree.
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

double ordered_sum(const double* values, std::size_t count) {
  Lanes total = broadcast(0.0);
  std::size_t start = 0;
  for (; start + logical_lane_count <= count; start += logical_lane_count) {
    total = total + load(values + start);
  }
  if (start < count) {
    total = total + load_partial(values + start, count - start, 0.0);
  }
  return tree_sum(total);
}

double ordered_dot(const double* left, const double* right, std::size_t count) {
  Lanes total = broadcast(0.0);
  std::size_t start = 0;
  for (; start + logical_lane_count <= count; start += logical_lane_count) {
    total = total + load(left + start) * load(right + start);
  }
  if (start < count) {
    const std::size_t rest = count - start;
    total = total + load_partial(left + start, rest, 0.0) * load_partial(right + start, rest, 0.0);
  }
  return tree_sum(total);
}

}  // namespace walstreet::WALSTREET_LEVEL
