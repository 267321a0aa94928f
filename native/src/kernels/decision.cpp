// Owns the decision of one cycle from scores to sized weights, and its steps as kernels of their own.
#include "decision_steps.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

struct BookSums {
  Lanes gross;
  Lanes names;
};

// Multiplies every weight by one factor and returns the sum of their magnitudes.
double scale_weights(double* weights, std::size_t count, double factor) {
  const Lanes factors = broadcast(factor);
  Lanes gross = broadcast(0.0);
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes scaled = load_some(weights + chunk.start, chunk.count, 0.0) * factors;
    gross = gross + absolute(scaled);
    store_some(weights + chunk.start, scaled, chunk.count);
  });
  return tree_sum(gross);
}

void size_proportionally(const CycleArguments& arguments, double total) {
  const Lanes budget = broadcast(arguments.gross_budget);
  const Lanes divisor = broadcast(total);
  const double bound = arguments.size.weight_abs_max;
  each_chunk(arguments.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    double* target = arguments.weight + chunk.start;
    const Lanes z = load_some(target, chunk.count, 0.0);
    const Lanes weight = total > 0.0 ? budget * (z / divisor) : broadcast(0.0);
    store_some(target, clip(weight, bound), chunk.count);
  });
}

// Returns false when a volatility so small that its weight overflows left no sound book.
bool size_to_volatility(const CycleArguments& arguments) {
  const SizeSettings& size = arguments.size;
  const double target = size.volatility_day_bps_target;
  const Lanes root = broadcast(__builtin_sqrt(size.names_min_proportional));
  Lanes variance = broadcast(0.0);
  Lanes magnitudes = broadcast(0.0);
  each_chunk(arguments.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    double* weights = arguments.weight + chunk.start;
    const Lanes given = load_some(arguments.market.sigma_day + chunk.start, chunk.count, 0.0);
    const Mask known = is_number(positive(given));
    const Lanes sigma = select(known, given, broadcast(__builtin_inf()));
    const Lanes z = load_some(weights, chunk.count, 0.0);
    const Lanes weight = z * (broadcast(target) / (root * sigma));
    const Lanes risk = weight * keep_where(known, given);
    variance = variance + risk * risk;
    magnitudes = magnitudes + absolute(weight);
    store_some(weights, weight, chunk.count);
  });
  double gross = tree_sum(magnitudes);
  const double volatility = __builtin_sqrt(tree_sum(variance));
  if (volatility > target) {
    gross = scale_weights(arguments.weight, arguments.symbol_count, target / volatility);
  }
  if (gross > arguments.gross_budget) {
    scale_weights(arguments.weight, arguments.symbol_count, arguments.gross_budget / gross);
  }
  each_chunk(arguments.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    double* weights = arguments.weight + chunk.start;
    const Lanes weight = load_some(weights, chunk.count, 0.0);
    store_some(weights, clip(weight, size.weight_abs_max), chunk.count);
  });
  return volatility <= DBL_MAX && gross <= DBL_MAX;
}

// Two chunks at once share what is read per model; the narrowest vectors have no registers for that.
constexpr std::size_t chunks_at_once = part_count > 2 ? 1 : 2;

#define WALSTREET_EACH_CHUNK \
  WALSTREET_UNROLL for (std::size_t chunk = 0; chunk < chunk_count; ++chunk)

// Chunks [first, first + chunk_count): all are full if there are several. Leaves the clipped z of wanted
// names in the weights.
template <std::size_t chunk_count>
WALSTREET_INLINE void decide_chunks(const CycleArguments& arguments, BookSums& book,
                                    const Chunk& first) {
  const std::size_t symbol_count = arguments.symbol_count;
  Lanes spread[chunk_count];
  Lanes base[chunk_count];
  Lanes cost[chunk_count];
  Entry entries[chunk_count][horizon_count_max];
  WALSTREET_EACH_CHUNK {
    const Chunk here = {first.start + chunk * logical_lane_count, first.count};
    spread[chunk] = load_some(arguments.market.spread + here.start, here.count, 1.0);
    base[chunk] = positive(load_some(arguments.market.sigma_5m + here.start, here.count, 1.0));
    cost[chunk] = round_trip_cost(arguments.market, arguments.cost_settings,
                                  arguments.session_multiplier, spread[chunk], here);
    store_some(arguments.cost + here.start, cost[chunk], here.count);
  }
  for (std::size_t horizon = 0; horizon < arguments.horizon_count; ++horizon) {
    Lanes sigma[chunk_count];
    Lanes weighted[chunk_count];
    Lanes present[chunk_count];
    WALSTREET_EACH_CHUNK {
      sigma[chunk] = broadcast(arguments.horizon_scales[horizon]) * base[chunk];
      weighted[chunk] = broadcast(0.0);
      present[chunk] = broadcast(0.0);
    }
    const ModelPlan& plan = arguments.plan;
    const ActiveModel* const end = plan.active + plan.active_starts[horizon + 1];
    for (const ActiveModel* model = plan.active + plan.active_starts[horizon]; model < end;
         ++model) {
      const double* source = model->scores + first.start;
      const Lanes slope = broadcast(model->slope);
      const Lanes weight = broadcast(model->weight);
      WALSTREET_EACH_CHUNK {
        __builtin_prefetch(source + chunk * logical_lane_count + prefetch_distance);
        const Lanes score = load_some(source + chunk * logical_lane_count, first.count, 0.0);
        const Lanes alpha = slope * sigma[chunk] * score;
        const Mask answered = is_usable(alpha);
        weighted[chunk] = weighted[chunk] + keep_where(answered, weight * alpha);
        present[chunk] = present[chunk] + keep_where(answered, weight);
      }
    }
    // A cost is never -0.0, so adding 0.0 leaves it; adding NaN makes the edge of a stale horizon unknown.
    const double age_cost = arguments.fresh[horizon] != 0 ? 0.0 : __builtin_nan("");
    WALSTREET_EACH_CHUNK {
      const std::size_t row = horizon * symbol_count + first.start + chunk * logical_lane_count;
      const Lanes blended = mean_of(weighted[chunk], present[chunk]);
      __builtin_prefetch(arguments.blended + row + prefetch_distance, 1);
      __builtin_prefetch(arguments.present + row + prefetch_distance, 1);
      __builtin_prefetch(arguments.net + row + prefetch_distance, 1);
      const Lanes net = net_edge(blended, cost[chunk] + broadcast(age_cost));
      store_some(arguments.blended + row, blended, first.count);
      store_some(arguments.present + row, present[chunk], first.count);
      store_some(arguments.net + row, net, first.count);
      prepare_entry(entries[chunk][horizon], net, sigma[chunk]);
    }
  }
  for (std::size_t chunk = 0; chunk < chunk_count; ++chunk) {
    const Chunk here = {first.start + chunk * logical_lane_count, first.count};
    Choice choice;
    contest(entries[chunk], arguments.horizon_count, arguments.arbitration, spread[chunk], choice);
    store_choice(arguments.choice, choice, here);
    const Mask wanted = choice.clears & load_flags(arguments.tradable, here) & is_finite(choice.z);
    const Lanes z = clip(keep_where(wanted, choice.z), arguments.size.z_max);
    store_some(arguments.weight + here.start, z, here.count);
    book.gross = book.gross + absolute(z);
    book.names = book.names + keep_where(broadcast(0.0) < absolute(z), broadcast(1.0));
  }
}

}  // namespace

void calibrate_blend(const BlendArguments& arguments) {
  activate(arguments.plan, arguments.scores, arguments.symbol_count, arguments.horizon_count);
  for (std::size_t horizon = 0; horizon < arguments.horizon_count; ++horizon) {
    each_chunk(arguments.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
      const std::size_t row = horizon * arguments.symbol_count + chunk.start;
      const Lanes sigma = load_some(arguments.sigma + row, chunk.count, 1.0);
      Lanes weighted = broadcast(0.0);
      Lanes present = broadcast(0.0);
      Lanes raw = broadcast(0.0);
      Lanes models = broadcast(0.0);
      each_answer(arguments.plan, horizon, sigma, chunk,
                  [&] [[gnu::always_inline]] (const Mask& answered, const Lanes& weight,
                                              const Lanes& alpha) {
                    weighted = weighted + keep_where(answered, weight * alpha);
                    present = present + keep_where(answered, weight);
                    raw = raw + keep_where(answered, alpha);
                    models = models + keep_where(answered, broadcast(1.0));
                  });
      store_some(arguments.blended + row, mean_of(weighted, present), chunk.count);
      store_some(arguments.present + row, present, chunk.count);
      store_some(arguments.raw + row, mean_of(raw, models), chunk.count);
    });
  }
}

void cost_arbitrate(const CostArbitrateArguments& arguments) {
  each_chunk(arguments.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes spread = load_some(arguments.market.spread + chunk.start, chunk.count, 1.0);
    const Lanes cost = round_trip_cost(arguments.market, arguments.cost_settings,
                                       arguments.session_multiplier, spread, chunk);
    Entry entries[horizon_count_max];
    for (std::size_t horizon = 0; horizon < arguments.horizon_count; ++horizon) {
      const std::size_t row = horizon * arguments.symbol_count + chunk.start;
      const Lanes alpha = load_some(arguments.alpha + row, chunk.count, 0.0);
      const Lanes sigma = load_some(arguments.sigma + row, chunk.count, 1.0);
      const Lanes net = net_edge(alpha, cost);
      store_some(arguments.cost + row, cost, chunk.count);
      store_some(arguments.net + row, net, chunk.count);
      prepare_entry(entries[horizon], net, sigma);
    }
    Choice choice;
    contest(entries, arguments.horizon_count, arguments.arbitration, spread, choice);
    store_choice(arguments.choice, choice, chunk);
  });
}

bool decision_cycle(const CycleArguments& arguments) {
  activate(arguments.plan, arguments.scores, arguments.symbol_count, arguments.horizon_count);
  BookSums book = {broadcast(0.0), broadcast(0.0)};
  std::size_t start = 0;
  for (; start + chunks_at_once * logical_lane_count <= arguments.symbol_count;
       start += chunks_at_once * logical_lane_count) {
    decide_chunks<chunks_at_once>(arguments, book, {start, logical_lane_count});
  }
  for (; start < arguments.symbol_count; start += logical_lane_count) {
    const std::size_t rest = arguments.symbol_count - start;
    decide_chunks<1>(arguments, book, {start, rest < logical_lane_count ? rest : logical_lane_count});
  }
  const SizeSettings& size = arguments.size;
  const bool few = tree_sum(book.names) < size.names_min_proportional;
  if (size.method == SizeMethod::volatility_target ||
      (size.method == SizeMethod::automatic && few)) {
    return size_to_volatility(arguments);
  }
  size_proportionally(arguments, tree_sum(book.gross));
  return true;
}

}  // namespace walstreet::WALSTREET_LEVEL
