// Owns risk-weighted sizes: ridge weights around a solution, and equal risk contributions.
#include "decision_steps.hpp"

namespace walstreet::WALSTREET_LEVEL {

void ridge_right_side(const double* z, std::size_t count, double* values) {
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes given = load_some(z + chunk.start, chunk.count, 0.0);
    store_some(values + chunk.start, keep_where(is_usable(given), given), chunk.count);
  });
}

// Weights are the solution over sigma, zero for names that are not wanted or whose sigma is unknown.
void ridge_weights(const double* z, const double* sigma, double gross_budget,
                   const double* values, std::size_t count, double* weights) {
  Lanes gross = broadcast(0.0);
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes deviation = positive(load_some(sigma + chunk.start, chunk.count, 1.0));
    const Mask wanted = is_usable(load_some(z + chunk.start, chunk.count, 0.0));
    const Lanes ratio = load_some(values + chunk.start, chunk.count, 0.0) / deviation;
    const Lanes weight = keep_where(wanted & is_usable(ratio), ratio);
    gross = gross + absolute(weight);
    store_some(weights + chunk.start, weight, chunk.count);
  });
  const double total = tree_sum(gross);
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes weight = load_some(weights + chunk.start, chunk.count, 0.0);
    const Lanes scaled = broadcast(gross_budget) * (weight / broadcast(total));
    store_some(weights + chunk.start, total > 0.0 ? scaled : broadcast(0.0), chunk.count);
  });
}

namespace {

// Adds step times one row of the covariance to the marginal risks.
WALSTREET_INLINE void add_row(const double* row, double step, std::size_t count,
                              double* marginal) {
  const Lanes factor = broadcast(step);
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes old = load_some(marginal + chunk.start, chunk.count, 0.0);
    const Lanes change = load_some(row + chunk.start, chunk.count, 0.0) * factor;
    store_some(marginal + chunk.start, old + change, chunk.count);
  });
}

// The positive root of variance * x^2 + others * x - budget = 0, without cancellation.
WALSTREET_INLINE double positive_root(double variance, double others, double budget) {
  const double root = __builtin_sqrt(others * others + 4.0 * variance * budget);
  return others > 0.0 ? 2.0 * budget / (others + root) : (root - others) / (2.0 * variance);
}

}  // namespace

// Cyclical coordinate descent: Griveau-Billion, Richard and Roncalli 2013, "A fast algorithm for computing
// high-dimensional risk parity portfolios", equation 6, in signed weights.
std::size_t risk_parity(const ParityArguments& arguments) {
  const std::size_t count = arguments.symbol_count;
  double names = 0.0;
  for (std::size_t row = 0; row < count; ++row) {
    arguments.marginal[row] = 0.0;
    names = names + __builtin_fabs(arguments.signs[row]);
  }
  for (std::size_t row = 0; row < count; ++row) {
    const double* source = arguments.covariance + row * count;
    const double sign = arguments.signs[row];
    arguments.weights[row] = sign != 0.0 ? sign / __builtin_sqrt(source[row]) : 0.0;
    if (sign != 0.0) {
      add_row(source, arguments.weights[row], count, arguments.marginal);
    }
  }
  const double budget = 1.0 / names;
  std::size_t sweeps = 0;
  double largest_change = names > 0.0 ? 1.0 : 0.0;
  // A change that is not a number never counts as converged.
  while (!(largest_change <= arguments.tolerance) && sweeps < parity_sweep_count_max) {
    ++sweeps;
    largest_change = 0.0;
    for (std::size_t row = 0; row < count; ++row) {
      const double sign = arguments.signs[row];
      if (sign == 0.0) {
        continue;
      }
      const double* source = arguments.covariance + row * count;
      const double old = sign * arguments.weights[row];
      const double others = sign * arguments.marginal[row] - source[row] * old;
      const double moved = positive_root(source[row], others, budget);
      const double step = moved - old;
      const double change = __builtin_fabs(step) / moved;
      largest_change = change > largest_change || change != change ? change : largest_change;
      arguments.weights[row] = sign * moved;
      add_row(source, sign * step, count, arguments.marginal);
    }
  }
  Lanes gross = broadcast(0.0);
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    gross = gross + absolute(load_some(arguments.weights + chunk.start, chunk.count, 0.0));
  });
  const double total = tree_sum(gross);
  for (std::size_t row = 0; row < count; ++row) {
    arguments.weights[row] =
        total > 0.0 ? arguments.gross * (arguments.weights[row] / total) : 0.0;
  }
  return largest_change <= arguments.tolerance ? sweeps : parity_sweep_count_max + 1;
}

}  // namespace walstreet::WALSTREET_LEVEL
