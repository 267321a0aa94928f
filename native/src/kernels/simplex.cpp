// Owns the Euclidean projection onto the probability simplex (Duchi et al. 2008).
//
// Values are shifted by their maximum first: the projection is invariant to a shift, differences
// near the maximum are exact, and no sum can overflow. Before sorting, values that cannot be in the
// support are dropped: for any subset S of the values the threshold is at least
// (sum(S) - 1) / |S| (Michelot 1986).
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

constexpr std::size_t filter_passes_max = 8;
constexpr std::size_t insertion_count_max = 48;

std::size_t keep_above(double* candidates, std::size_t count, double bound) {
  std::size_t kept = 0;
  for (std::size_t index = 0; index < count; ++index) {
    const double candidate = candidates[index];
    candidates[kept] = candidate;
    kept += candidate > bound;
  }
  return kept;
}

void insertion_sort_descending(double* values, std::size_t count) {
  for (std::size_t index = 1; index < count; ++index) {
    const double value = values[index];
    std::size_t place = index;
    for (; place > 0 && values[place - 1] < value; --place) {
      values[place] = values[place - 1];
    }
    values[place] = value;
  }
}

void sift_down(double* heap, std::size_t root, std::size_t count) {
  const double value = heap[root];
  for (std::size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
    if (child + 1 < count && heap[child + 1] < heap[child]) {
      ++child;
    }
    if (!(heap[child] < value)) {
      break;
    }
    heap[root] = heap[child];
    root = child;
  }
  heap[root] = value;
}

// A heap of minima leaves the array in descending order, in n log n steps whatever the input.
void heap_sort_descending(double* values, std::size_t count) {
  for (std::size_t root = count / 2; root-- > 0;) {
    sift_down(values, root, count);
  }
  for (std::size_t last = count - 1; last > 0; --last) {
    const double smallest = values[0];
    values[0] = values[last];
    values[last] = smallest;
    sift_down(values, 0, last);
  }
}

double threshold_of_sorted(const double* descending, std::size_t count) {
  double prefix_sum = 0.0;
  double threshold = 0.0;
  for (std::size_t index = 0; index < count; ++index) {
    prefix_sum += descending[index];
    const double candidate = (prefix_sum - 1.0) / static_cast<double>(index + 1);
    if (!(descending[index] - candidate > 0.0)) {
      break;
    }
    threshold = candidate;
  }
  return threshold;
}

}  // namespace

void simplex_projection(const double* values, std::size_t value_count, double* projection,
                        double* candidates) {
  double largest = values[0];
  for (std::size_t index = 1; index < value_count; ++index) {
    largest = largest < values[index] ? values[index] : largest;
  }
  for (std::size_t index = 0; index < value_count; ++index) {
    candidates[index] = values[index] - largest;
  }
  std::size_t count = keep_above(candidates, value_count, -1.0);
  for (std::size_t pass = 0; pass < filter_passes_max; ++pass) {
    const double bound = (ordered_sum(candidates, count) - 1.0) / static_cast<double>(count);
    const std::size_t kept = keep_above(candidates, count, bound);
    if (kept == count) {
      break;
    }
    count = kept;
  }
  if (count <= insertion_count_max) {
    insertion_sort_descending(candidates, count);
  } else {
    heap_sort_descending(candidates, count);
  }
  const double threshold = threshold_of_sorted(candidates, count);
  for (std::size_t index = 0; index < value_count; ++index) {
    const double weight = (values[index] - largest) - threshold;
    projection[index] = weight > 0.0 ? weight : 0.0;
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
