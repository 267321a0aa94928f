// Owns what symbols know by themselves: returns, averages and true ranges, one row after the other.
//
// A symbol's values depend on its own bars only, so a slice of symbols is the same whoever computes it.
#include "swing_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

WALSTREET_INLINE void magnitude(Quad& values) {
  values = (Quad)((QuadMask)values & 0x7fff'ffff'ffff'ffffLL);
}

struct Row {
  Quad close;
  Quad range;
  QuadMask present;
  Quad count_before;
  Quad count;
};

WALSTREET_INLINE void advance_prices(const SwingAdvance& arguments, std::size_t day,
                                     std::size_t symbol, Row& row) {
  const SwingPlan& plan = *arguments.plan;
  const SwingState& state = *arguments.state;
  const SwingChunk& chunk = *arguments.chunk;
  const std::size_t place = day * plan.stride + symbol;
  Quad high, low, before, previous, run, zero, one, missing;
  fill_quad(0.0, zero);
  fill_quad(1.0, one);
  fill_quad(__builtin_nan(""), missing);
  load_quad(chunk.close + place, row.close);
  load_quad(chunk.high + place, high);
  load_quad(chunk.low + place, low);
  load_quad(state.last + symbol, before);
  load_quad(state.previous + symbol, previous);
  load_quad(state.run + symbol, run);
  load_quad(state.bar_count + symbol, row.count_before);
  row.present = row.close == row.close;
  const Quad change = row.close / before - one;
  const Quad change_or_zero = (change == change) ? change : zero;
  store_quad(chunk.growth + place, change_or_zero);
  const Quad row_return = row.close / previous - one;
  store_quad(chunk.returns + (plan.history + day) * plan.stride + symbol, row_return);
  const Quad longer = (row_return == row_return) ? run + one : zero;
  store_quad(state.run + symbol, longer);
  store_quad(chunk.run + place, longer);
  Quad above = high - before;
  Quad below = low - before;
  magnitude(above);
  magnitude(below);
  const Quad plain = high - low;
  Quad gapped = above > plain ? above : plain;
  gapped = below > gapped ? below : gapped;
  row.range = (before == before) ? gapped : plain;
  row.count = row.present ? row.count_before + one : row.count_before;
  const Quad last = row.present ? row.close : before;
  store_quad(chunk.price + place, last);
  store_quad(state.last + symbol, last);
  store_quad(state.previous + symbol, row.close);
  store_quad(state.bar_count + symbol, row.count);
}

WALSTREET_INLINE void advance_averages(const SwingAdvance& arguments, std::size_t day,
                                       std::size_t symbol, const Row& row) {
  const SwingPlan& plan = *arguments.plan;
  Quad zero, missing;
  fill_quad(0.0, zero);
  fill_quad(__builtin_nan(""), missing);
  const QuadMask first = row.count_before == zero;
  for (std::size_t ema = 0; ema < plan.ema_count; ++ema) {
    Quad level, alpha, window;
    double* kept = arguments.state->ema_level + ema * plan.stride + symbol;
    load_quad(kept, level);
    fill_quad(2.0 / (plan.ema_windows[ema] + 1.0), alpha);
    fill_quad(plan.ema_windows[ema], window);
    const Quad smoothed = level + alpha * (row.close - level);
    const Quad moved = first ? row.close : smoothed;
    level = row.present ? moved : level;
    store_quad(kept, level);
    const Quad defined = (row.present & (row.count >= window)) ? level : missing;
    store_quad(arguments.chunk->ema + (ema * arguments.chunk->capacity + day) * plan.stride + symbol,
               defined);
  }
  for (std::size_t atr = 0; atr < plan.atr_count; ++atr) {
    Quad level, total, window, one;
    fill_quad(1.0, one);
    double* kept_level = arguments.state->atr_level + atr * plan.stride + symbol;
    double* kept_total = arguments.state->atr_total + atr * plan.stride + symbol;
    load_quad(kept_level, level);
    load_quad(kept_total, total);
    fill_quad(plan.atr_windows[atr], window);
    const QuadMask seeding = row.count <= window;
    total = (row.present & seeding) ? total + row.range : total;
    const Quad smoothed = level * (window - one) + row.range;
    const Quad moved = (seeding ? total : smoothed) / window;
    level = row.present ? moved : level;
    store_quad(kept_level, level);
    store_quad(kept_total, total);
    const Quad defined = (row.present & (row.count >= window)) ? level : missing;
    store_quad(arguments.chunk->atr + (atr * arguments.chunk->capacity + day) * plan.stride + symbol,
               defined);
  }
}

}  // namespace

void swing_advance(const SwingAdvance& arguments) {
  for (std::size_t day = 0; day < arguments.day_count; ++day) {
    for (std::size_t symbol = arguments.symbol_first; symbol < arguments.symbol_end;
         symbol += swing_quad) {
      Row row;
      advance_prices(arguments, day, symbol, row);
      advance_averages(arguments, day, symbol, row);
    }
  }
}

// Prices of permuted days: every row is the close before it times the ratios of another day.
void swing_rebuild(const SwingRebuild& arguments) {
  const std::size_t plane = arguments.row_count * arguments.stride;
  for (std::size_t symbol = 0; symbol < arguments.stride; symbol += swing_quad) {
    Quad last;
    load_quad(arguments.last + symbol, last);
    for (std::size_t index = 0; index < arguments.count; ++index) {
      const std::size_t source =
          static_cast<std::size_t>(arguments.order[arguments.first + index]) * arguments.stride + symbol;
      const std::size_t target = index * arguments.stride + symbol;
      Quad gap, high, low, close;
      load_quad(arguments.ratios + source, gap);
      load_quad(arguments.ratios + plane + source, high);
      load_quad(arguments.ratios + 2 * plane + source, low);
      load_quad(arguments.ratios + 3 * plane + source, close);
      const Quad opened = last * gap;
      last = opened * close;
      store_quad(arguments.high + target, opened * high);
      store_quad(arguments.low + target, opened * low);
      store_quad(arguments.close + target, last);
    }
    store_quad(arguments.last + symbol, last);
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
