// Owns the steps of a decision for eight symbols at a time: calibrate and blend, cost, contest of horizons.
//
// Each step runs the operations of its function in walstreet.domain in the same order, so the bits agree.
// Results that are not a number leave as the one canonical NaN, whatever their inputs carried.
#pragma once

#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

WALSTREET_INLINE Lanes keep_where(const Mask& mask, const Lanes& lanes) {
  Lanes result;
  WALSTREET_EACH_PART result.part[index] =
      (VectorDouble)((VectorMask)lanes.part[index] & mask.part[index]);
  return result;
}

WALSTREET_INLINE Mask operator|(const Mask& left, const Mask& right) {
  Mask result;
  WALSTREET_EACH_PART result.part[index] = left.part[index] | right.part[index];
  return result;
}

WALSTREET_INLINE Mask negate(const Mask& mask) {
  Mask result;
  WALSTREET_EACH_PART result.part[index] = ~mask.part[index];
  return result;
}

WALSTREET_INLINE Lanes canonical(const Lanes& lanes) {
  return select(is_number(lanes), lanes, missing_lanes());
}

WALSTREET_INLINE Mask is_finite(const Lanes& lanes) {
  return absolute(lanes) <= broadcast(DBL_MAX);
}

// NaN unless positive and finite.
WALSTREET_INLINE Lanes positive(const Lanes& lanes) {
  const Mask known = (broadcast(0.0) < lanes) & (lanes <= broadcast(DBL_MAX));
  return select(known, lanes, missing_lanes());
}

WALSTREET_INLINE Lanes not_negative(const Lanes& lanes) {
  const Mask known = (broadcast(0.0) <= lanes) & (lanes <= broadcast(DBL_MAX));
  return select(known, lanes, missing_lanes());
}

// numpy.clip for numbers: values outside move to the bound, -0.0 stays.
WALSTREET_INLINE Lanes clip(const Lanes& lanes, double bound) {
  return minimum(broadcast(bound), maximum(broadcast(-bound), lanes));
}

// Rows are read a chunk at a time, too many of them for the processor to foresee. Symbols, hence doubles.
inline constexpr std::size_t prefetch_distance = 4 * logical_lane_count;

// A slope that is not positive is no prediction, so its row is not even read. Adding the zeros of
// models that did not answer would not change a bit: a sum that starts at +0.0 is never -0.0.
WALSTREET_INLINE void activate(const ModelPlan& plan, const double* scores,
                               std::size_t symbol_count, std::size_t horizon_count) {
  std::size_t place = 0;
  for (std::size_t horizon = 0; horizon < horizon_count; ++horizon) {
    plan.active_starts[horizon] = place;
    for (std::size_t row = plan.starts[horizon]; row < plan.starts[horizon + 1]; ++row) {
      const std::size_t model = plan.model_rows[row];
      if (plan.slopes[model] > 0.0) {
        plan.active[place++] = {scores + model * symbol_count, plan.slopes[model],
                                plan.weights[model]};
      }
    }
  }
  plan.active_starts[horizon_count] = place;
}

template <typename Visit>
WALSTREET_INLINE void each_answer(const ModelPlan& plan, std::size_t horizon, const Lanes& sigma,
                                  const Chunk& chunk, const Visit& visit) {
  const ActiveModel* const end = plan.active + plan.active_starts[horizon + 1];
  for (const ActiveModel* model = plan.active + plan.active_starts[horizon]; model < end; ++model) {
    const double* source = model->scores + chunk.start;
    __builtin_prefetch(source + prefetch_distance);
    const Lanes score = load_some(source, chunk.count, 0.0);
    const Lanes alpha = broadcast(model->slope) * sigma * score;
    visit(is_usable(alpha), broadcast(model->weight), alpha);
  }
}

WALSTREET_INLINE Lanes mean_of(const Lanes& weighted, const Lanes& present) {
  return select(broadcast(0.0) < present, weighted / present, missing_lanes());
}

// Round trip with square-root impact, in bps.
WALSTREET_INLINE Lanes round_trip_cost(const MarketFacts& market, const CostSettings& settings,
                                       double session_multiplier, const Lanes& spread,
                                       const Chunk& chunk) {
  const std::size_t start = chunk.start;
  const std::size_t count = chunk.count;
  const Lanes sigma_day = positive(load_some(market.sigma_day + start, count, 1.0));
  const Lanes price = positive(load_some(market.price + start, count, 1.0));
  const Lanes volume = positive(load_some(market.daily_volume + start, count, 1.0));
  const Lanes order = not_negative(load_some(market.order_usd + start, count, 1.0));
  const Lanes participation = order / (volume * price);
  const Lanes impact =
      broadcast(2.0) *
      (broadcast(settings.impact_coefficient) * sigma_day * square_root(participation));
  const Lanes market_bps = broadcast(session_multiplier) * (not_negative(spread) + impact);
  const Lanes per_share = broadcast(settings.fee_usd_per_share) / price * broadcast(10000.0);
  const Lanes fees = broadcast(2.0) * (per_share + broadcast(settings.fee_bps));
  return canonical(market_bps + fees);
}

// sign(alpha) * max(|alpha| - cost, 0): the cost is never negative, so the sign bit can be set instead of
// multiplied, once -0.0 has become +0.0. Comparing with <= keeps a NaN, as numpy.maximum does.
WALSTREET_INLINE Lanes net_edge(const Lanes& alpha, const Lanes& cost) {
  const Lanes zero = broadcast(0.0);
  const Lanes excess = absolute(alpha) - cost;
  const Lanes kept = select(excess <= zero, zero, excess);
  const Lanes side = alpha + zero;
  Lanes result;
  WALSTREET_EACH_PART result.part[index] =
      (VectorDouble)((VectorMask)kept.part[index] |
                     ((VectorMask)side.part[index] & static_cast<long long>(1ULL << 63)));
  return canonical(result);
}

// What one horizon enters with; kept apart from the contest so that horizons do not wait for each other.
struct Entry {
  Lanes net;
  Lanes sigma;
  Lanes z;
};

WALSTREET_INLINE void prepare_entry(Entry& entry, const Lanes& net, const Lanes& sigma) {
  const Lanes ratio = net / sigma;
  WALSTREET_EACH_PART {
    entry.net.part[index] = net.part[index];
    entry.sigma.part[index] = sigma.part[index];
  }
  const Lanes z = select(is_finite(ratio), ratio, missing_lanes());
  WALSTREET_EACH_PART entry.z.part[index] = z.part[index];
}

struct Choice {
  Lanes row;
  Lanes reserve;
  Lanes alpha_final;
  Lanes z;
  Mask clears;
};

// One pass over ascending horizons finds the winner and its nearest present neighbours: the last present
// z before a new winner is its lower neighbour, the first present z after it the upper one. It runs part by
// part, because the state of one part just fits the registers.
WALSTREET_INLINE void contest(const Entry* entries, std::size_t horizon_count,
                              const ArbitrationSettings& settings, const Lanes& spread,
                              Choice& choice) {
  const VectorDouble zero = {};
  const VectorDouble one = 1.0 - zero;
  const VectorDouble missing = __builtin_nan("") - zero;
  const VectorDouble share_of_best = settings.best_share - zero;
  const VectorMask magnitude_bits = 0x7fff'ffff'ffff'ffffLL - VectorMask{};
  for (std::size_t part = 0; part < part_count; ++part) {
    VectorDouble best_row = zero - one;
    VectorDouble best_z = zero;
    VectorDouble best_net = missing;
    VectorDouble best_sigma = missing;
    VectorDouble last = missing;
    VectorDouble below = missing;
    VectorDouble above = missing;
    VectorDouble row = zero;
    for (std::size_t horizon = 0; horizon < horizon_count; ++horizon) {
      const VectorDouble z = entries[horizon].z.part[part];
      const VectorMask wins = (VectorDouble)((VectorMask)best_z & magnitude_bits) <
                              (VectorDouble)((VectorMask)z & magnitude_bits);
      const VectorDouble upper = above == above ? above : z;
      above = wins ? missing : upper;
      below = wins ? last : below;
      best_row = wins ? row : best_row;
      best_z = wins ? z : best_z;
      best_net = wins ? entries[horizon].net.part[part] : best_net;
      best_sigma = wins ? entries[horizon].sigma.part[part] : best_sigma;
      last = z == z ? z : last;
      row = row + one;
    }
    const VectorMask has_below = below == below;
    const VectorMask has_above = above == above;
    const VectorDouble total = (zero + (has_below ? below : zero)) + (has_above ? above : zero);
    const VectorDouble found = (has_below ? one : zero) + (has_above ? one : zero);
    const VectorMask has_neighbour = zero < found;
    // One or two neighbours: the sum is divided by 1.0 or 2.0, which halving does as exactly.
    const VectorDouble mean = has_below & has_above ? total * 0.5 : total;
    const VectorDouble share = has_neighbour ? share_of_best : one;
    const VectorDouble blended = share * best_z + (one - share) * mean;
    const VectorDouble reserve =
        settings.reserve_spread_share * spread.part[part] + settings.reserve_bps;
    const VectorMask chosen = zero <= best_row;
    const VectorMask sound = chosen & (blended == blended);
    const VectorDouble z = sound ? blended : missing;
    const VectorDouble alpha = z * best_sigma;
    choice.row.part[part] = best_row;
    choice.z.part[part] = z;
    choice.reserve.part[part] = reserve == reserve ? reserve : missing;
    choice.alpha_final.part[part] = alpha == alpha ? alpha : missing;
    choice.clears.part[part] =
        chosen & (reserve <= (VectorDouble)((VectorMask)best_net & magnitude_bits)) &
        (zero < (VectorDouble)((VectorMask)z & magnitude_bits));
  }
}

typedef std::uint8_t PartFlags __attribute__((vector_size(part_lane_count), may_alias, aligned(1)));
typedef long long UnalignedIntegers
    __attribute__((vector_size(WALSTREET_VECTOR_BYTES), aligned(sizeof(double)), may_alias));

// All ones where a flag is set. Wide loads of what narrow stores wrote would stall, hence the conversions.
WALSTREET_INLINE Mask load_flags(const std::uint8_t* flags, const Chunk& chunk) {
  std::uint8_t padded[logical_lane_count] = {};
  const std::uint8_t* source = flags + chunk.start;
  if (chunk.count < logical_lane_count) {
    for (std::size_t lane = 0; lane < chunk.count; ++lane) {
      padded[lane] = source[lane];
    }
    source = padded;
  }
  Mask mask;
  WALSTREET_EACH_PART mask.part[index] =
      __builtin_convertvector(*reinterpret_cast<const PartFlags*>(source + index * part_lane_count),
                              VectorMask) != 0;
  return mask;
}

WALSTREET_INLINE void store_choice(const ChoiceArrays& arrays, const Choice& choice,
                                   const Chunk& chunk) {
  store_some(arrays.reserve + chunk.start, choice.reserve, chunk.count);
  store_some(arrays.alpha_final + chunk.start, choice.alpha_final, chunk.count);
  store_some(arrays.z + chunk.start, choice.z, chunk.count);
  // 1.5 * 2^52: the low bits of the sum are the integer.
  constexpr double shift = 6755399441055744.0;
  std::int64_t rows[logical_lane_count];
  std::uint8_t clears[logical_lane_count];
  const bool full = chunk.count == logical_lane_count;
  std::int64_t* row_target = full ? arrays.best + chunk.start : rows;
  std::uint8_t* clear_target = full ? arrays.clears + chunk.start : clears;
  WALSTREET_EACH_PART {
    const VectorMask integer = (VectorMask)(choice.row.part[index] + shift) -
                               __builtin_bit_cast(long long, shift);
    *reinterpret_cast<UnalignedIntegers*>(row_target + index * part_lane_count) = integer;
    *reinterpret_cast<PartFlags*>(clear_target + index * part_lane_count) =
        __builtin_convertvector(choice.clears.part[index] & 1, PartFlags);
  }
  if (!full) {
    for (std::size_t lane = 0; lane < chunk.count; ++lane) {
      arrays.best[chunk.start + lane] = rows[lane];
      arrays.clears[chunk.start + lane] = clears[lane];
    }
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
