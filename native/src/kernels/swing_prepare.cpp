// Owns what a day offers before anybody's book is looked at: scores, volatilities, ranks, correlation caps.
#include "swing_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

WALSTREET_INLINE void root(Quad& values) {
  for (int lane = 0; lane < 4; ++lane) {
    values[lane] = __builtin_sqrt(values[lane]);
  }
}

// Sample standard deviations in two passes, oldest row first, as inverse volatilities. Quads go side by side, because
// the additions of one have to wait for each other.
template <std::size_t quads>
WALSTREET_INLINE void prepare_volatility_of(const SwingPlan& plan, const SwingChunk& chunk,
                                            std::size_t index, std::size_t day,
                                            std::size_t symbol) {
  const std::size_t window = plan.volatility_windows[index];
  const double count = static_cast<double>(window);
  const double* oldest = chunk.returns + (plan.history + day + 1 - window) * plan.stride + symbol;
  double* target = chunk.raw + (index * chunk.capacity + day) * plan.stride + symbol;
  Quad smallest, one, needed, missing;
  fill_quad(swing_volatility_min, smallest);
  fill_quad(1.0, one);
  fill_quad(count, needed);
  fill_quad(__builtin_nan(""), missing);
  Quad total[quads]{}, squares[quads]{}, value, run;
  for (std::size_t row = 0; row < window; ++row) {
    for (std::size_t quad = 0; quad < quads; ++quad) {
      load_quad(oldest + row * plan.stride + quad * swing_quad, value);
      total[quad] = total[quad] + value;
    }
  }
  for (std::size_t quad = 0; quad < quads; ++quad) {
    total[quad] = total[quad] / count;
  }
  for (std::size_t row = 0; row < window; ++row) {
    for (std::size_t quad = 0; quad < quads; ++quad) {
      load_quad(oldest + row * plan.stride + quad * swing_quad, value);
      const Quad difference = value - total[quad];
      squares[quad] = squares[quad] + difference * difference;
    }
  }
  for (std::size_t quad = 0; quad < quads; ++quad) {
    Quad deviation = squares[quad] / (count - 1.0);
    root(deviation);
    const Quad bounded = deviation > smallest ? deviation : smallest;
    load_quad(chunk.run + day * plan.stride + symbol + quad * swing_quad, run);
    const Quad raw = ((run >= needed) & (deviation == deviation)) ? one / bounded : missing;
    store_quad(target + quad * swing_quad, raw);
  }
}

WALSTREET_INLINE void prepare_volatility(const SwingPlan& plan, const SwingChunk& chunk,
                                         std::size_t index, std::size_t day) {
  constexpr std::size_t together = 4;
  std::size_t symbol = 0;
  for (; symbol + together * swing_quad <= plan.stride; symbol += together * swing_quad) {
    prepare_volatility_of<together>(plan, chunk, index, day, symbol);
  }
  if (symbol + 3 * swing_quad == plan.stride) {
    prepare_volatility_of<3>(plan, chunk, index, day, symbol);
  } else if (symbol + 2 * swing_quad == plan.stride) {
    prepare_volatility_of<2>(plan, chunk, index, day, symbol);
  } else if (symbol + swing_quad == plan.stride) {
    prepare_volatility_of<1>(plan, chunk, index, day, symbol);
  }
}

WALSTREET_INLINE void prepare_score(const SwingPlan& plan, const SwingChunk& chunk,
                                    std::size_t index, std::size_t day) {
  const SwingScore& score = plan.scores[index];
  const double* ema = chunk.ema + (score.ema * chunk.capacity + day) * plan.stride;
  const double* atr = chunk.atr + (score.atr * chunk.capacity + day) * plan.stride;
  const double* close = chunk.close + day * plan.stride;
  double* target = chunk.score + (index * chunk.capacity + day) * plan.stride;
  Quad one, smallest;
  fill_quad(1.0, one);
  fill_quad(swing_atr_share_min, smallest);
  for (std::size_t symbol = 0; symbol < plan.stride; symbol += swing_quad) {
    Quad price, average, range;
    load_quad(close + symbol, price);
    load_quad(ema + symbol, average);
    load_quad(atr + symbol, range);
    const Quad share = range / price;
    const Quad divisor = share < smallest ? smallest : share;
    store_quad(target + symbol, (price / average - one) / divisor);
  }
}

// Writes the sums of a block with one row more; none before is a block of this row alone. Sums of products lie in
// rows of a symbol, the plain sums in the row after.
template <std::size_t quads>
WALSTREET_INLINE void add_quads(const SwingPlan& plan, const double* row, const double* before,
                                double* sums, std::size_t first) {
  Quad value[quads], total;
  for (std::size_t quad = 0; quad < quads; ++quad) {
    load_quad(row + first + quad * swing_quad, value[quad]);
  }
  for (std::size_t symbol = 0; symbol <= plan.symbol_count; ++symbol) {
    const double own = symbol < plan.symbol_count ? row[symbol] : 1.0;
    const std::size_t line = symbol * plan.stride + first;
    for (std::size_t quad = 0; quad < quads; ++quad) {
      if (before == nullptr) {
        store_quad(sums + line + quad * swing_quad, own * value[quad]);
      } else {
        load_quad(before + line + quad * swing_quad, total);
        store_quad(sums + line + quad * swing_quad, total + own * value[quad]);
      }
    }
  }
}

WALSTREET_INLINE void add_row(const SwingPlan& plan, const double* row, const double* before,
                              double* sums) {
  constexpr std::size_t together = 4;
  std::size_t first = 0;
  for (; first + together * swing_quad <= plan.stride; first += together * swing_quad) {
    add_quads<together>(plan, row, before, sums, first);
  }
  if (first + 3 * swing_quad == plan.stride) {
    add_quads<3>(plan, row, before, sums, first);
  } else if (first + 2 * swing_quad == plan.stride) {
    add_quads<2>(plan, row, before, sums, first);
  } else if (first + swing_quad == plan.stride) {
    add_quads<1>(plan, row, before, sums, first);
  }
}

// The sums of a window are those of the block before from the window's first row on, and those of this block so far:
// two sums of positive length, so that nothing is taken away again and an unknown return leaves with its row.
struct Moments {
  const SwingPrepare* arguments;
  std::size_t window;
  std::size_t plane;
  double* suffix;
  double* prefix;

  const double* returns_of(std::size_t row) const {
    const SwingPlan& plan = *arguments->plan;
    const std::size_t place = plan.history + row - arguments->row_of_chunk;
    return arguments->chunk->returns + place * plan.stride;
  }

  double* suffix_of(std::size_t row) const {
    return suffix + (row % window) * plane;
  }

  // Suffix sums of the block that ends before the row `end`, back to the row `first`.
  void close_block(std::size_t first, std::size_t end) const {
    const SwingPlan& plan = *arguments->plan;
    double* after = nullptr;
    for (std::size_t row = end; row-- > first;) {
      double* sums = suffix_of(row);
      add_row(plan, returns_of(row), after, sums);
      after = sums;
    }
  }

  void clear_prefix() const {
    for (std::size_t place = 0; place < plane; ++place) {
      prefix[place] = 0.0;
    }
  }
};

// Which of the symbols are within the cap: sure ones by the sums, the others by the two passes.
[[gnu::noinline]] std::uint32_t decide_unsure(const SwingPlan& plan, const double* newest,
                                              const SwingCap& cap, std::size_t symbol,
                                              const double* line, std::uint32_t others) {
  std::uint32_t within = 0;
  for (std::uint32_t left = others; left != 0; left &= left - 1) {
    const auto other = static_cast<std::size_t>(__builtin_ctz(left));
    double compared = cap.is_signed ? line[other] : __builtin_fabs(line[other]);
    const bool is_sure = compared <= cap.cap - swing_correlation_margin ||
                         compared > cap.cap + swing_correlation_margin;
    if (!is_sure) {
      const double correlation = swing_correlation(
          newest, plan.stride, plan.correlation_windows[cap.correlation], symbol, other);
      compared = cap.is_signed ? correlation : __builtin_fabs(correlation);
    }
    within |= (compared <= cap.cap ? 1U : 0U) << other;
  }
  return within;
}

// Sums, means and inverse roots of the variances of one day's window.
struct DayMoments {
  const double* suffix;  // null where the window is one whole block
  const double* prefix;
  double inverse_root[swing_small_symbols_max];
  double sum[swing_small_symbols_max];

  WALSTREET_INLINE void total(const DayMoments& moments, std::size_t place, Quad& result) {
    Quad left, right;
    load_quad(moments.prefix + place, left);
    load_quad(moments.suffix + place, right);
    result = left + right;
  }
};

void prepare_roots(const SwingPlan& plan, double count, DayMoments& moments) {
  for (std::size_t symbol = 0; symbol < plan.stride; symbol += swing_quad) {
    Quad sum;
    DayMoments::total(moments, plan.symbol_count * plan.stride + symbol, sum);
    store_quad(moments.sum + symbol, sum);
  }
  double square[swing_small_symbols_max];
  for (std::size_t symbol = 0; symbol < plan.stride; ++symbol) {
    const std::size_t place = symbol * plan.stride + symbol;
    const bool is_symbol = symbol < plan.symbol_count;
    square[symbol] = is_symbol ? moments.prefix[place] + moments.suffix[place] : 0.0;
  }
  Quad one, share, smallest, missing;
  fill_quad(1.0, one);
  fill_quad(swing_variance_share_min, share);
  fill_quad(swing_variance_min, smallest);
  fill_quad(__builtin_nan(""), missing);
  for (std::size_t symbol = 0; symbol < plan.stride; symbol += swing_quad) {
    Quad total, sum;
    load_quad(square + symbol, total);
    load_quad(moments.sum + symbol, sum);
    Quad variance = total - sum * sum / count;
    const QuadMask is_sound = (variance >= total * share) & (variance >= smallest);
    root(variance);
    // NaN makes every comparison unsure, which sends the pair to the two passes.
    const Quad inverse = is_sound ? one / variance : missing;
    store_quad(moments.inverse_root + symbol, inverse);
  }
}

WALSTREET_INLINE void prepare_cap(const SwingPlan& plan, const SwingCap& cap, const double* newest,
                                  std::size_t symbol, const double* line, std::uint32_t others,
                                  std::uint32_t& compatible) {
  Quad lowest, highest;
  fill_quad(cap.cap - swing_correlation_margin, lowest);
  fill_quad(cap.cap + swing_correlation_margin, highest);
  // Takes the sign away unless it counts.
  const QuadMask bits = (cap.is_signed ? -1LL : 0x7fff'ffff'ffff'ffffLL) - QuadMask{};
  std::uint32_t within = 0, decided = 0;
  for (std::size_t other = 0; other < plan.stride; other += swing_quad) {
    Quad correlation;
    load_quad(line + other, correlation);
    const Quad compared = (Quad)((QuadMask)correlation & bits);
    const QuadMask below = compared <= lowest;
    within |= quad_bits(below) << other;
    decided |= quad_bits(below | (compared > highest)) << other;
  }
  within &= others;
  if ((others & ~decided) != 0) {
    within = decide_unsure(plan, newest, cap, symbol, line, others);
  }
  compatible = within;
}

void prepare_caps(const SwingPrepare& arguments, std::size_t correlation_index, std::size_t day,
                  const DayMoments& moments, std::uint32_t candidates) {
  const SwingPlan& plan = *arguments.plan;
  const SwingChunk& chunk = *arguments.chunk;
  const double count = static_cast<double>(plan.correlation_windows[correlation_index]);
  const double* newest = chunk.returns + (plan.history + day) * plan.stride;
  for (std::uint32_t left = candidates; left != 0; left &= left - 1) {
    const auto symbol = static_cast<std::size_t>(__builtin_ctz(left));
    double line[swing_small_symbols_max];
    const double mean = moments.sum[symbol] / count;
    for (std::size_t other = 0; other < plan.stride; other += swing_quad) {
      Quad product, sum, inverse;
      DayMoments::total(moments, symbol * plan.stride + other, product);
      load_quad(moments.sum + other, sum);
      load_quad(moments.inverse_root + other, inverse);
      const Quad covariance = product - mean * sum;
      store_quad(line + other, (covariance * inverse) * moments.inverse_root[symbol]);
    }
    for (std::size_t index = 0; index < plan.cap_count; ++index) {
      if (plan.caps[index].correlation == correlation_index) {
        // A symbol is never chosen twice, whatever it has to do with itself.
        prepare_cap(plan, plan.caps[index], newest, symbol, line, candidates & ~(1U << symbol),
                    chunk.compatible[(index * chunk.capacity + day) * plan.stride + symbol]);
      }
    }
  }
}

WALSTREET_INLINE std::uint32_t greater_bits(const SwingPlan& plan, const double* left,
                                            const double* right) {
  std::uint32_t bits = 0;
  for (std::size_t symbol = 0; symbol < plan.stride; symbol += swing_quad) {
    Quad first, second;
    load_quad(left + symbol, first);
    load_quad(right + symbol, second);
    bits |= quad_bits(first > second) << symbol;
  }
  return bits;
}

WALSTREET_INLINE std::uint32_t at_least_bits(const SwingPlan& plan, const double* values,
                                             double smallest) {
  std::uint32_t bits = 0;
  Quad bound;
  fill_quad(smallest, bound);
  for (std::size_t symbol = 0; symbol < plan.stride; symbol += swing_quad) {
    Quad value;
    load_quad(values + symbol, value);
    bits |= quad_bits(value >= bound) << symbol;
  }
  return bits;
}

// What rules of one score and the same windows have in common; grids change the slow average more often.
struct RuleBits {
  const SwingRule* rule;
  std::uint32_t known;
  std::uint32_t enters;
  std::uint32_t stays;
};

WALSTREET_INLINE void prepare_common(const SwingPlan& plan, const SwingChunk& chunk,
                                     const SwingRule& rule, std::size_t day, RuleBits& bits) {
  if (bits.rule != nullptr && bits.rule->score == rule.score &&
      bits.rule->volatility == rule.volatility && bits.rule->correlation == rule.correlation &&
      bits.rule->score_min == rule.score_min && bits.rule->floor == rule.floor &&
      bits.rule->keeps == rule.keeps) {
    return;
  }
  const std::size_t row = day * plan.stride;
  const std::size_t plane = chunk.capacity * plan.stride;
  const double* score = chunk.score + rule.score * plane + row;
  const double* fast = chunk.ema + plan.scores[rule.score].ema * plane + row;
  const double window = static_cast<double>(plan.correlation_windows[rule.correlation]);
  // Comparisons with NaN are false, so that only what is known passes.
  bits.rule = &rule;
  bits.known = at_least_bits(plan, chunk.raw + rule.volatility * plane + row, 0.0) &
               at_least_bits(plan, chunk.run + row, window);
  bits.enters = at_least_bits(plan, score, rule.score_min) & ~greater_bits(plan, fast, chunk.close + row);
  bits.stays = rule.keeps ? at_least_bits(plan, score, rule.floor) : 0;
}

WALSTREET_INLINE void prepare_rule(const SwingPlan& plan, const SwingChunk& chunk,
                                   std::size_t index, std::size_t day, RuleBits& bits) {
  const SwingRule& rule = plan.rules[index];
  const std::size_t row = day * plan.stride;
  const std::size_t plane = chunk.capacity * plan.stride;
  prepare_common(plan, chunk, rule, day, bits);
  const double* fast = chunk.ema + plan.scores[rule.score].ema * plane + row;
  std::uint32_t passing = bits.known & greater_bits(plan, fast, chunk.ema + rule.slow * plane + row);
  if (rule.line < plan.line_count) {
    const SwingLine& line = plan.lines[rule.line];
    std::uint32_t above = 0;
    for (std::size_t symbol = 0; symbol < plan.stride; symbol += swing_quad) {
      Quad quick, late;
      load_quad(chunk.ema + line.fast * plane + row + symbol, quick);
      load_quad(chunk.ema + line.slow * plane + row + symbol, late);
      above |= quad_bits(quick - late > Quad{}) << symbol;
    }
    passing &= above;
  }
  chunk.enter[day * plan.rule_count + index] = passing & bits.enters;
  chunk.stay[day * plan.rule_count + index] = passing & bits.stays;
}

// Counts for every item those before it: by key, best first, of equals the one of the smaller column. That takes more
// comparisons than a sort but no branch that the processor would have to guess. Arrays are filled up to whole quads.
template <bool has_ties>
WALSTREET_INLINE void count_before(const double* key, const double* column, std::size_t count,
                                   std::int64_t* before) {
  for (std::size_t own = 0; own < count; own += swing_quad) {
    Quad own_key, own_column;
    load_quad(key + own, own_key);
    load_quad(column + own, own_column);
    QuadMask counted{};
    for (std::size_t other = 0; other < count; ++other) {
      Quad other_key, other_column;
      fill_quad(key[other], other_key);
      if constexpr (has_ties) {
        fill_quad(column[other], other_column);
        counted -= (other_key > own_key) | ((other_key == own_key) & (other_column < own_column));
      } else {
        counted -= other_key > own_key;
      }
    }
    __builtin_memcpy(before + own, &counted, sizeof(counted));
  }
}

// Ties are rare, and found out by two items that count the same.
WALSTREET_INLINE void rank_items(const double* key, const double* column, const std::uint8_t* item,
                                 std::size_t count, std::uint8_t* ranked) {
  std::int64_t before[swing_items_max];
  count_before<false>(key, column, count, before);
  std::uint64_t taken = 0;
  for (std::size_t own = 0; own < count; ++own) {
    taken |= std::uint64_t{1} << before[own];
    ranked[before[own]] = item[own];
  }
  if (__builtin_popcountll(taken) != static_cast<int>(count)) {
    count_before<true>(key, column, count, before);
    for (std::size_t own = 0; own < count; ++own) {
      ranked[before[own]] = item[own];
    }
  }
}

// Ranks the symbols that some rule lets enter or stay, and returns them.
std::uint32_t prepare_order(const SwingPlan& plan, const SwingChunk& chunk, std::size_t index,
                            std::size_t day) {
  const SwingOrder& order = plan.orders[index];
  std::uint32_t enter = 0;
  std::uint32_t stay = 0;
  for (std::size_t rule = 0; rule < plan.rule_count; ++rule) {
    if (plan.rules[rule].order == index) {
      enter |= chunk.enter[day * plan.rule_count + rule];
      stay |= chunk.stay[day * plan.rule_count + rule];
    }
  }
  const double* score = chunk.score + (order.score * chunk.capacity + day) * plan.stride;
  double key[swing_items_max + swing_quad];
  double column[swing_items_max + swing_quad];
  std::uint8_t item[swing_items_max + swing_quad];
  std::size_t count = 0;
  // Every symbol is written and only some are counted: their number is what the processor could not guess.
  for (std::size_t symbol = 0; symbol < plan.symbol_count; ++symbol) {
    key[count] = score[symbol] + order.bonus;
    column[count] = static_cast<double>(symbol);
    item[count] = static_cast<std::uint8_t>(symbol | swing_kept_flag);
    count += (stay >> symbol) & 1U;
  }
  for (std::size_t symbol = 0; symbol < plan.symbol_count; ++symbol) {
    key[count] = score[symbol];
    // A total order, even if a bonus is too small to tell both forms of a symbol apart.
    column[count] = static_cast<double>(symbol) + 0.5;
    item[count] = static_cast<std::uint8_t>(symbol);
    count += (enter >> symbol) & 1U;
  }
  const std::size_t place = index * chunk.capacity + day;
  for (std::size_t filled = count; filled % swing_quad != 0; ++filled) {
    key[filled] = column[filled] = 0.0;
  }
  rank_items(key, column, item, count, chunk.ranked + place * swing_items_max);
  chunk.ranked_count[place] = static_cast<std::uint8_t>(count);
  return enter | stay;
}

void prepare_correlations(const SwingPrepare& arguments, std::size_t index) {
  const SwingPlan& plan = *arguments.plan;
  const SwingMoments& kept = *arguments.moments;
  const std::size_t window = plan.correlation_windows[index];
  const std::size_t plane = (plan.symbol_count + 1) * plan.stride;
  const Moments moments{&arguments, window, plane, kept.suffix + index * kept.window_max * plane,
                        kept.prefix + index * plane};
  const std::size_t first = arguments.row_of_chunk + arguments.day_first;
  const std::size_t end = arguments.row_of_chunk + arguments.day_end;
  const bool goes_on = kept.next_row[index] == first;
  const std::size_t block = first / window * window;
  if (!goes_on) {
    // Rows before the first one of the bars have no place in memory; no window that reaches them is complete.
    if (block >= window) {
      moments.close_block(first + 1 - window, block);
    }
    moments.clear_prefix();
    for (std::size_t row = block; row < first; ++row) {
      add_row(plan, moments.returns_of(row), moments.prefix, moments.prefix);
    }
  }
  double whole_block[(swing_small_symbols_max + 1) * swing_small_symbols_max];
  DayMoments day_moments;
  day_moments.prefix = moments.prefix;
  for (std::size_t row = first; row < end; ++row) {
    if (row % window == 0 && (row > first || goes_on)) {
      // The block's first row is in no window any more.
      moments.close_block(row + 1 - window, row);
      moments.clear_prefix();
    }
    add_row(plan, moments.returns_of(row), moments.prefix, moments.prefix);
    const std::uint32_t wanted = arguments.chunk->candidates[row - arguments.row_of_chunk];
    // A candidate has a complete window, so the bars reach back far enough; one name needs no correlation.
    if ((wanted & (wanted - 1)) == 0) {
      continue;
    }
    if ((row + 1) % window == 0) {
      // The window is this block alone.
      for (std::size_t place = 0; place < plane; ++place) {
        whole_block[place] = 0.0;
      }
      day_moments.suffix = whole_block;
    } else {
      day_moments.suffix = moments.suffix_of(row + 1 - window);
    }
    prepare_roots(plan, static_cast<double>(window), day_moments);
    prepare_caps(arguments, index, row - arguments.row_of_chunk, day_moments, wanted);
  }
  kept.next_row[index] = end;
}

}  // namespace

double swing_correlation(const double* newest_row, std::size_t stride, std::size_t window,
                         std::size_t left, std::size_t right) {
  const double* oldest = newest_row - (window - 1) * stride;
  const double count = static_cast<double>(window);
  double left_total = 0.0, right_total = 0.0;
  for (std::size_t row = 0; row < window; ++row) {
    left_total = left_total + oldest[row * stride + left];
    right_total = right_total + oldest[row * stride + right];
  }
  const double left_mean = left_total / count;
  const double right_mean = right_total / count;
  double left_squares = 0.0, right_squares = 0.0, product = 0.0;
  for (std::size_t row = 0; row < window; ++row) {
    const double left_difference = oldest[row * stride + left] - left_mean;
    const double right_difference = oldest[row * stride + right] - right_mean;
    left_squares = left_squares + left_difference * left_difference;
    right_squares = right_squares + right_difference * right_difference;
    product = product + left_difference * right_difference;
  }
  const double scale = left_squares * right_squares;
  return scale > 0.0 ? product / __builtin_sqrt(scale) : __builtin_nan("");
}

void swing_prepare_masks(const SwingPrepare& arguments) {
  const SwingPlan& plan = *arguments.plan;
  const SwingChunk& chunk = *arguments.chunk;
  for (std::size_t day = arguments.day_first; day < arguments.day_end; ++day) {
    RuleBits bits{nullptr, 0, 0, 0};
    for (std::size_t rule = 0; rule < plan.rule_count; ++rule) {
      prepare_rule(plan, chunk, rule, day, bits);
    }
    chunk.candidates[day] = 0;
    for (std::size_t order = 0; order < plan.order_count; ++order) {
      chunk.candidates[day] |= prepare_order(plan, chunk, order, day);
    }
  }
  for (std::size_t index = 0; index < plan.correlation_count; ++index) {
    prepare_correlations(arguments, index);
  }
}

void swing_prepare(const SwingPrepare& arguments) {
  const SwingPlan& plan = *arguments.plan;
  for (std::size_t day = arguments.day_first; day < arguments.day_end; ++day) {
    for (std::size_t index = 0; index < plan.volatility_count; ++index) {
      prepare_volatility(plan, *arguments.chunk, index, day);
    }
    for (std::size_t index = 0; index < plan.score_count; ++index) {
      prepare_score(plan, *arguments.chunk, index, day);
    }
  }
  if (plan.is_small) {
    swing_prepare_masks(arguments);
  } else {
    swing_prepare_lists(arguments);
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
