// Owns cross-sectional ranks with average ties; values that are not usable have none.
//
// Values become integers of the same order, which a stable radix sort puts in place; a rank is a property of
// the values alone, so the way of sorting cannot change its bits.
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

constexpr std::size_t digit_bits = 11;
constexpr std::size_t digit_count = (64 + digit_bits - 1) / digit_bits;
constexpr std::size_t digit_values = std::size_t{1} << digit_bits;
constexpr std::size_t insertion_count_max = 64;

// Adding +0.0 turns -0.0 into +0.0, which ties with it.
WALSTREET_INLINE std::uint64_t sortable(double value) {
  const std::uint64_t bits = __builtin_bit_cast(std::uint64_t, value + 0.0);
  const std::uint64_t sign = std::uint64_t{1} << 63;
  return (bits & sign) != 0 ? ~bits : bits | sign;
}

void insertion_sort(std::uint64_t* keys, std::int64_t* order, std::size_t count) {
  for (std::size_t index = 1; index < count; ++index) {
    const std::uint64_t key = keys[index];
    const std::int64_t symbol = order[index];
    std::size_t place = index;
    for (; place > 0 && key < keys[place - 1]; --place) {
      keys[place] = keys[place - 1];
      order[place] = order[place - 1];
    }
    keys[place] = key;
    order[place] = symbol;
  }
}

WALSTREET_INLINE std::size_t digit_of(std::uint64_t key, std::size_t digit) {
  return static_cast<std::size_t>(key >> (digit * digit_bits)) & (digit_values - 1);
}

// An even number of passes leaves the result where it began; a pass whose digits all agree still copies.
void radix_sort(std::uint64_t* keys, std::int64_t* order, std::size_t count, std::size_t half) {
  static_assert(digit_count % 2 == 0);
  std::uint32_t places[digit_values];
  for (std::size_t digit = 0; digit < digit_count; ++digit) {
    const std::size_t from = digit % 2 == 0 ? 0 : half;
    const std::size_t into = half - from;
    for (std::size_t value = 0; value < digit_values; ++value) {
      places[value] = 0;
    }
    for (std::size_t index = 0; index < count; ++index) {
      ++places[digit_of(keys[from + index], digit)];
    }
    std::uint32_t total = 0;
    for (std::size_t value = 0; value < digit_values; ++value) {
      const std::uint32_t here = places[value];
      places[value] = total;
      total += here;
    }
    for (std::size_t index = 0; index < count; ++index) {
      const std::uint64_t key = keys[from + index];
      const std::size_t place = into + places[digit_of(key, digit)]++;
      keys[place] = key;
      order[place] = order[from + index];
    }
  }
}

}  // namespace

std::size_t average_ranks(const double* values, std::size_t count, std::uint64_t* keys,
                          std::int64_t* order, double* ranks) {
  std::size_t ranked = 0;
  for (std::size_t symbol = 0; symbol < count; ++symbol) {
    ranks[symbol] = __builtin_nan("");
    if (__builtin_fabs(values[symbol]) <= value_abs_max) {
      keys[ranked] = sortable(values[symbol]);
      order[ranked++] = static_cast<std::int64_t>(symbol);
    }
  }
  if (ranked <= insertion_count_max) {
    insertion_sort(keys, order, ranked);
  } else {
    radix_sort(keys, order, ranked, count);
  }
  for (std::size_t first = 0; first < ranked;) {
    std::size_t end = first + 1;
    while (end < ranked && keys[end] == keys[first]) {
      ++end;
    }
    const double rank = 0.5 * static_cast<double>(first + 1 + end);
    for (std::size_t place = first; place < end; ++place) {
      ranks[order[place]] = rank;
    }
    first = end;
  }
  return ranked;
}

}  // namespace walstreet::WALSTREET_LEVEL
