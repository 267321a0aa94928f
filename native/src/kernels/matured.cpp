// Owns what a matured cross-section of outcomes teaches: model health, blend sums, medians of past scores.
//
// Cross-sections are short and every sum has its order from the NumPy reference, so this is scalar code; where
// the reference adds in lanes, the same lane sums are called.
#include "matured.hpp"

#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

constexpr std::size_t pairs_min = 3;
constexpr std::size_t digit_bits = 11;
constexpr std::size_t digit_values = std::size_t{1} << digit_bits;
constexpr std::size_t insertion_count_max = 48;
constexpr std::uint64_t sign_bit = std::uint64_t{1} << 63;

WALSTREET_INLINE bool is_finite(double value) { return __builtin_fabs(value) <= DBL_MAX; }

// As NumPy's clip and minimum(maximum()): a value inside the bounds keeps its bits.
WALSTREET_INLINE double bounded(double value, double limit) {
  const double raised = value < -limit ? -limit : value;
  return raised > limit ? limit : raised;
}

WALSTREET_INLINE double sign_of(double value) {
  return value > 0.0 ? 1.0 : (value < 0.0 ? -1.0 : 0.0);
}

// One model's usable pairs, side by side.
struct Pairs {
  double* score;
  double* realised;
  double* sigma;
  double* cost;
  double* left;
  double* right;
  std::size_t count;
};

void collect(const MaturedArguments& arguments, const double* scores, Pairs& pairs) {
  pairs.count = 0;
  for (std::size_t symbol = 0; symbol < arguments.symbol_count; ++symbol) {
    const double sigma = arguments.sigma_bps[symbol];
    const double outcome = arguments.return_bps[symbol] / sigma;
    if (sigma > 0.0 && sigma <= arguments.sigma_bps_max &&
        __builtin_fabs(scores[symbol]) <= arguments.score_abs_max && is_finite(outcome)) {
      pairs.score[pairs.count] = scores[symbol];
      pairs.realised[pairs.count] = bounded(outcome, arguments.outcome_abs_max);
      pairs.sigma[pairs.count] = sigma;
      pairs.cost[pairs.count] = arguments.cost_bps[symbol];
      ++pairs.count;
    }
  }
}

double rank_correlation(const MaturedArguments& arguments, const Pairs& pairs) {
  if (pairs.count < pairs_min) {
    return __builtin_nan("");
  }
  average_ranks(pairs.score, pairs.count, arguments.keys, arguments.order, pairs.left);
  average_ranks(pairs.realised, pairs.count, arguments.keys, arguments.order, pairs.right);
  const double centre = 0.5 * static_cast<double>(pairs.count + 1);
  for (std::size_t index = 0; index < pairs.count; ++index) {
    pairs.left[index] = pairs.left[index] - centre;
    pairs.right[index] = pairs.right[index] - centre;
  }
  const double scale = ordered_dot(pairs.left, pairs.left, pairs.count) *
                       ordered_dot(pairs.right, pairs.right, pairs.count);
  if (scale == 0.0) {
    return __builtin_nan("");
  }
  return ordered_dot(pairs.left, pairs.right, pairs.count) / __builtin_sqrt(scale);
}

// The ranks are done with: left becomes the forecast, right what is summed.
void judge_forecast(const MaturedArguments& arguments, double slope, const Pairs& pairs,
                    double* row) {
  for (std::size_t index = 0; index < pairs.count; ++index) {
    pairs.left[index] = slope * pairs.score[index];
  }
  row[matured_cross] = ordered_dot(pairs.left, pairs.realised, pairs.count);
  row[matured_square] = ordered_dot(pairs.left, pairs.left, pairs.count);
  std::size_t traded = 0;
  for (std::size_t index = 0; index < pairs.count; ++index) {
    const double forecast = pairs.left[index];
    if (__builtin_fabs(forecast) * pairs.sigma[index] > pairs.cost[index]) {
      pairs.right[traded++] =
          sign_of(forecast) * pairs.realised[index] * pairs.sigma[index] - pairs.cost[index];
    }
  }
  row[matured_edge] = traded > 0 ? ordered_sum(pairs.right, traded) : 0.0;
  row[matured_trades] = static_cast<double>(traded);
  for (std::size_t index = 0; index < pairs.count; ++index) {
    const double forecast = pairs.left[index];
    const double realised = pairs.realised[index];
    pairs.right[index] = arguments.excess ? forecast * (forecast - 2.0 * realised)
                                          : __builtin_fabs(realised - forecast);
  }
  row[matured_error] =
      ordered_sum(pairs.right, pairs.count) / static_cast<double>(pairs.count);
}

WALSTREET_INLINE std::uint64_t sortable(double value) {
  const std::uint64_t bits = __builtin_bit_cast(std::uint64_t, value);
  return (bits & sign_bit) != 0 ? ~bits : bits | sign_bit;
}

WALSTREET_INLINE double from_sortable(std::uint64_t key) {
  return __builtin_bit_cast(double, (key & sign_bit) != 0 ? key ^ sign_bit : ~key);
}

std::uint64_t select_small(std::uint64_t* keys, std::size_t count, std::size_t place) {
  for (std::size_t index = 1; index < count; ++index) {
    const std::uint64_t key = keys[index];
    std::size_t target = index;
    for (; target > 0 && key < keys[target - 1]; --target) {
      keys[target] = keys[target - 1];
    }
    keys[target] = key;
  }
  return keys[place];
}

// Returns the key that sorting would put at place; candidates are reordered and shrink digit by digit, so the
// work is bounded whatever the values.
std::uint64_t select_key(std::uint64_t* candidates, std::size_t count, std::size_t place) {
  std::uint32_t histogram[digit_values];
  std::size_t shift = 64 - digit_bits;
  while (count > insertion_count_max) {
    for (std::size_t digit = 0; digit < digit_values; ++digit) {
      histogram[digit] = 0;
    }
    for (std::size_t index = 0; index < count; ++index) {
      ++histogram[(candidates[index] >> shift) & (digit_values - 1)];
    }
    std::size_t digit = 0;
    for (; place >= histogram[digit]; ++digit) {
      place -= histogram[digit];
    }
    std::size_t kept = 0;
    for (std::size_t index = 0; index < count; ++index) {
      const std::uint64_t key = candidates[index];
      candidates[kept] = key;
      kept += ((key >> shift) & (digit_values - 1)) == digit ? 1 : 0;
    }
    count = kept;
    if (shift == 0) {
      return candidates[0];
    }
    shift = shift > digit_bits ? shift - digit_bits : 0;
  }
  return select_small(candidates, count, place);
}

// Returns half the lower and half the upper of the two middle values, which for an odd count are the same one.
double middle(const double* values, std::size_t count, std::uint64_t* keys,
              std::uint64_t* candidates) {
  for (std::size_t index = 0; index < count; ++index) {
    keys[index] = sortable(values[index]);
    candidates[index] = keys[index];
  }
  const std::size_t place = (count - 1) / 2;
  const std::uint64_t low = select_key(candidates, count, place);
  std::uint64_t high = low;
  if (count % 2 == 0) {
    std::size_t reached = 0;
    std::uint64_t next = ~std::uint64_t{0};
    for (std::size_t index = 0; index < count; ++index) {
      const bool is_above = keys[index] > low;
      reached += is_above ? 0 : 1;
      next = is_above && keys[index] < next ? keys[index] : next;
    }
    high = reached > place + 1 ? low : next;
  }
  return 0.5 * from_sortable(low) + 0.5 * from_sortable(high);
}

}  // namespace

void matured_rows(const MaturedArguments& arguments) {
  const std::size_t symbols = arguments.symbol_count;
  double* scratch = arguments.scratch;
  Pairs pairs = {
      .score = scratch,
      .realised = scratch + symbols,
      .sigma = scratch + 2 * symbols,
      .cost = scratch + 3 * symbols,
      .left = scratch + 4 * symbols,
      .right = scratch + 5 * symbols,
      .count = 0,
  };
  for (std::size_t model = 0; model < arguments.model_count; ++model) {
    double* row = arguments.rows + model * matured_column_count;
    collect(arguments, arguments.scores + model * symbols, pairs);
    for (std::size_t column = 0; column < matured_column_count; ++column) {
      row[column] = 0.0;
    }
    row[matured_error] = __builtin_nan("");
    row[matured_rank_ic] = rank_correlation(arguments, pairs);
    const double slope = arguments.slopes[model];
    if (row[matured_rank_ic] == row[matured_rank_ic] && slope > 0.0 &&
        slope <= arguments.slope_abs_max) {
      judge_forecast(arguments, slope, pairs, row);
    }
  }
}

// A running sum begins with its first term, as NumPy's accumulate does, so that a sum of -0 keeps its sign.
void contribution(const ContributionArguments& arguments) {
  const std::size_t models = arguments.model_count;
  const std::size_t symbols = arguments.symbol_count;
  double* score_now = arguments.scratch;
  double* const sums = arguments.sums;
  for (std::size_t model = 0; model < models; ++model) {
    sums[contribution_answered * models + model] = 0.0;
  }
  for (std::size_t symbol = 0; symbol < symbols; ++symbol) {
    const double realised = arguments.outcomes[symbol];
    const double cost = arguments.cost_bps[symbol];
    for (std::size_t model = 0; model < models; ++model) {
      const double given = arguments.scores[model * symbols + symbol];
      const double alpha = arguments.alphas_bps[model * symbols + symbol];
      const bool is_valid =
          __builtin_fabs(given) <= arguments.score_abs_max && is_finite(realised);
      const double share = cost >= 0.0 ? cost / __builtin_fabs(alpha) : __builtin_nan("");
      const double surviving = 1.0 - (share > 1.0 ? 1.0 : share);
      const bool is_priced =
          is_valid && is_finite(surviving) && is_finite(alpha) && is_finite(cost);
      const double score = is_valid ? given : 0.0;
      const double outcome = is_valid ? bounded(realised, arguments.outcome_abs_max) : 0.0;
      score_now[model] = score;
      const double terms[contribution_answered] = {
          score * outcome, outcome * outcome, is_priced ? surviving : 0.0, is_priced ? 1.0 : 0.0};
      for (std::size_t row = 0; row < contribution_answered; ++row) {
        double& total = sums[row * models + model];
        total = symbol == 0 ? terms[row] : total + terms[row];
      }
      if (is_valid) {
        sums[contribution_answered * models + model] = 1.0;
      }
    }
    for (std::size_t row = 0; row < models; ++row) {
      for (std::size_t column = 0; column < models; ++column) {
        double& total = arguments.products[row * models + column];
        const double term = score_now[row] * score_now[column];
        total = symbol == 0 ? term : total + term;
      }
    }
  }
}

void row_medians(const MedianArguments& arguments) {
  for (std::size_t index = 0; index < arguments.row_count; ++index) {
    const double* row = arguments.history +
                        (arguments.first_row + index * arguments.row_step) * arguments.width;
    std::size_t count = 0;
    for (std::size_t column = 0; column < arguments.used; ++column) {
      const double value = row[column];
      arguments.values[count] = value;
      count += value == value ? 1 : 0;
    }
    arguments.counts[index] = static_cast<std::int64_t>(count);
    arguments.medians[index] = __builtin_nan("");
    arguments.spreads[index] = __builtin_nan("");
    if (count == 0) {
      continue;
    }
    const double median = middle(arguments.values, count, arguments.keys, arguments.candidates);
    for (std::size_t place = 0; place < count; ++place) {
      arguments.values[place] = __builtin_fabs(arguments.values[place] - median);
    }
    arguments.medians[index] = median;
    arguments.spreads[index] =
        middle(arguments.values, count, arguments.keys, arguments.candidates);
  }
}

const MaturedKernels matured_kernels = {
    .matured_rows = matured_rows,
    .contribution = contribution,
    .row_medians = row_medians,
};

}  // namespace walstreet::WALSTREET_LEVEL
