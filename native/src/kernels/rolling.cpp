// Owns rolling statistics over a ring of bars, recomputed exactly from the ring at every bar.
//
// The ring is blocked by lanes, (blocks, capacity, 8): the history of eight symbols is contiguous, so
// that a pass streams through memory instead of touching one page per bar.
//
// Nothing is added and later subtracted, so nothing drifts: the statistics are a function of the
// ring's content alone. One pass from the newest bar to the oldest serves every window, because each
// window is a prefix of that pass. Symbols are lanes, so no sum crosses lanes.
//
// Sums run over differences from the newest usable value, which is itself in the window. This bounds
// the condition of the centred sum of squares by the window's count (Chan, Golub, LeVeque 1983).
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

struct Accumulator {
  Lanes count;
  Lanes reference;
  Lanes difference_sum;
  Lanes difference_squares;
  Lanes smallest;
  Lanes largest;
};

WALSTREET_INLINE Accumulator empty_accumulator(const Lanes& newest) {
  const Lanes zero = broadcast(0.0);
  const double infinity = __builtin_inf();
  return {zero, newest, zero, zero, broadcast(infinity), broadcast(-infinity)};
}

// The plain form is used where no bar is missing; it computes the same bits as the masked form and
// turns NaN as soon as one bar is missing, which sends the chunk to the masked form.
template <bool masked>
WALSTREET_INLINE void accumulate(Accumulator& state, const Lanes& value) {
  if constexpr (masked) {
    const Lanes zero = broadcast(0.0);
    const Mask present = is_number(value);
    state.reference = select(is_number(state.reference), state.reference, value);
    const Lanes difference = select(present, value - state.reference, zero);
    state.count = state.count + select(present, broadcast(1.0), zero);
    state.difference_sum = state.difference_sum + difference;
    state.difference_squares = state.difference_squares + difference * difference;
  } else {
    const Lanes difference = value - state.reference;
    state.difference_sum = state.difference_sum + difference;
    state.difference_squares = state.difference_squares + difference * difference;
  }
  state.smallest = minimum(value, state.smallest);
  state.largest = maximum(value, state.largest);
}

WALSTREET_INLINE void store_statistics(const RollingArguments& arguments, const Chunk& chunk,
                                       std::size_t window, const Accumulator& state,
                                       const Lanes& inverse_count,
                                       const Lanes& inverse_freedom, const Lanes& newest) {
  const Lanes zero = broadcast(0.0);
  const Lanes one = broadcast(1.0);
  const Lanes missing = missing_lanes();
  const Mask any = zero < state.count;
  const Mask several = one < state.count;
  const Lanes mean_difference = state.difference_sum * inverse_count;
  const Lanes sum = state.count * state.reference + state.difference_sum;
  const Lanes squares =
      state.difference_squares + state.reference * (state.difference_sum + sum);
  const Lanes raw_centred =
      state.difference_squares - state.difference_sum * mean_difference;
  const Lanes centred = maximum(raw_centred, zero);
  const Lanes deviation = square_root(centred * inverse_freedom);
  const Lanes range = state.largest - state.smallest;
  const Mask scorable = several & is_number(newest) & (zero < deviation);
  const Mask placeable = any & is_number(newest) & (zero < range);
  const std::size_t offset = window * arguments.symbol_count + chunk.start;
  const auto put = [&] [[gnu::always_inline]] (Statistic statistic, const Mask& defined,
                                               const Lanes& lanes) {
    if (double* plane = arguments.planes[statistic]) {
      store_some(plane + offset, select(defined, lanes, missing), chunk.count);
    }
  };
  put(statistic_count, is_number(zero), state.count);
  put(statistic_sum, any, sum);
  put(statistic_sum_of_squares, any, maximum(squares, zero));
  put(statistic_centred_squares, any, centred);
  put(statistic_minimum, any, state.smallest);
  put(statistic_maximum, any, state.largest);
  put(statistic_mean, any, state.reference + mean_difference);
  put(statistic_deviation, several, deviation);
  put(statistic_score, scorable, (zero - mean_difference) / deviation);
  put(statistic_position, placeable, (newest - state.smallest) / range);
}

// Walks from the newest bar to the oldest and keeps the sums where each window ends. Returns false
// when the plain form met a missing bar.
template <bool masked>
WALSTREET_INLINE bool scan_chunk(const RollingArguments& arguments, const double* history,
                                 Accumulator* windows) {
  const std::size_t capacity = arguments.capacity;
  const std::size_t bars = static_cast<std::size_t>(arguments.bars_seen) + 1;
  std::size_t row = static_cast<std::size_t>(arguments.bars_seen) % capacity;
  Accumulator state = empty_accumulator(load(history + row * logical_lane_count));
  std::size_t age = 0;
  for (std::size_t window = 0; window < arguments.window_count; ++window) {
    const std::size_t length = static_cast<std::size_t>(arguments.windows[window]);
    const std::size_t end = length < bars ? length : bars;
    for (; age < end; ++age) {
      accumulate<masked>(state, load(history + row * logical_lane_count));
      row = (row == 0 ? capacity : row) - 1;
    }
    if constexpr (!masked) {
      state.count = broadcast(static_cast<double>(end));
      if (!all(is_number(state.difference_sum))) {
        return false;
      }
    }
    windows[window] = state;
  }
  return true;
}

// The divisions and roots of all windows come after the scan, where they overlap each other.
template <bool masked>
WALSTREET_INLINE void store_chunk(const RollingArguments& arguments, const Chunk& chunk,
                                  const double* history, const Accumulator* windows) {
  const std::size_t newest_row =
      static_cast<std::size_t>(arguments.bars_seen) % arguments.capacity;
  const Lanes newest = load(history + newest_row * logical_lane_count);
  const Lanes one = broadcast(1.0);
  for (std::size_t window = 0; window < arguments.window_count; ++window) {
    const Accumulator& state = windows[window];
    if constexpr (masked) {
      store_statistics(arguments, chunk, window, state, one / state.count,
                       one / (state.count - one), newest);
    } else {
      const double count = state.count.part[0][0];
      store_statistics(arguments, chunk, window, state, broadcast(1.0 / count),
                       broadcast(1.0 / (count - 1.0)), newest);
    }
  }
}

// Lanes beyond the last symbol hold 0, which keeps their chunk on the plain form.
void push(const RollingArguments& arguments) {
  const std::size_t row = static_cast<std::size_t>(arguments.bars_seen) % arguments.capacity;
  store_status(arguments.status, arguments.values, arguments.symbol_count);
  each_chunk(arguments.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes value = load_some(arguments.values + chunk.start, chunk.count, 0.0);
    double* target = arguments.ring + chunk.start * arguments.capacity + row * logical_lane_count;
    store(target, select(is_usable(value), value, missing_lanes()));
  });
}

}  // namespace

void rolling_update(const RollingArguments& arguments) {
  push(arguments);
  Accumulator windows[window_count_max];
  each_chunk(arguments.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const double* history = arguments.ring + chunk.start * arguments.capacity;
    if (scan_chunk<false>(arguments, history, windows)) {
      store_chunk<false>(arguments, chunk, history, windows);
    } else {
      scan_chunk<true>(arguments, history, windows);
      store_chunk<true>(arguments, chunk, history, windows);
    }
  });
}

void ring_returns(const double* ring, std::size_t capacity, std::size_t symbol_count,
                  std::int64_t bars_seen, const std::int64_t* lags, std::size_t lag_count,
                  double* returns) {
  const Lanes zero = broadcast(0.0);
  const Lanes one = broadcast(1.0);
  const Lanes bound = broadcast(DBL_MAX);
  const std::size_t bars = static_cast<std::size_t>(bars_seen);
  const std::size_t newest_row = (bars + capacity - 1) % capacity;
  for (std::size_t index = 0; index < lag_count; ++index) {
    const std::size_t lag = static_cast<std::size_t>(lags[index]);
    const std::size_t base_row = (newest_row + capacity - lag) % capacity;
    const Lanes known = broadcast(lag < bars ? 1.0 : 0.0);
    double* target = returns + index * symbol_count;
    each_chunk(symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
      const double* history = ring + chunk.start * capacity;
      const Lanes newest = load(history + newest_row * logical_lane_count);
      const Lanes base = load(history + base_row * logical_lane_count);
      const Lanes change = newest / base - one;
      const Mask valid = (zero < known) & (zero < base) & (absolute(change) <= bound);
      store_some(target + chunk.start, select(valid, change, missing_lanes()), chunk.count);
    });
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
