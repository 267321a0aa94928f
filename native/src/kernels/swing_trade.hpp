// Owns how a book meets its target: weights below the cap, the band, costs, and who holds what tomorrow.
//
// Books and targets are shared by all tracks of a thread, because
// tracks that want the same names on the same day hold the same book from then on.
#pragma once

#include "swing_day.hpp"

namespace walstreet::WALSTREET_LEVEL {

struct SwingOutcome {
  double net;
  std::size_t next;
};

// Moves every book of yesterday to today's close, before any trade. Book 0 is the flat one.
WALSTREET_INLINE void open_day(const SwingDay& today) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  SwingBook* books = books_today(tracks);
  for (std::size_t index = 0; index < tracks.book_count; ++index) {
    SwingBook& book = books[index];
    double* weights = weights_today(plan, tracks, index);
    const std::uint32_t* names = names_today(plan, tracks, index);
    double gross = 0.0;
    for (std::size_t place = 0; place < book.name_count; ++place) {
      gross = gross + weights[place] * today.growth[names[place]];
    }
    for (std::size_t place = 0; place < book.name_count; ++place) {
      weights[place] = weights[place] * (1.0 + today.growth[names[place]]) / (1.0 + gross);
    }
    book.gross = gross;
    book.outcome_key = swing_no_outcome;
    book.next = index == 0 ? 0 : swing_none;
  }
  SwingBook& flat = tracks.books[1 - tracks.side][0];
  flat.name_count = 0;
  flat.mask = 0;
  flat.is_short_of_cash = false;
  tracks.next_count = 1;
  tracks.target_count = 0;
  ++tracks.day_stamp;
}

WALSTREET_INLINE void close_day(SwingTracks& tracks) {
  tracks.side = 1 - tracks.side;
  tracks.book_count = tracks.next_count;
}

// Shares the budget by raw weights; a name above the cap gets the cap, and the rest is shared again.
WALSTREET_INLINE void fill_water(SwingTracks& tracks, std::size_t count, double budget, double cap,
                                 double* weights) {
  for (std::size_t index = 0; index < count; ++index) {
    tracks.is_free[index] = 1;
  }
  double rest = budget;
  for (std::size_t round = 0; round <= count; ++round) {
    double total = 0.0;
    for (std::size_t index = 0; index < count; ++index) {
      total = tracks.is_free[index] != 0 ? total + tracks.raw[index] : total;
    }
    std::size_t full = 0;
    for (std::size_t index = 0; index < count; ++index) {
      if (tracks.is_free[index] == 0) {
        continue;
      }
      weights[index] = tracks.raw[index] / total * rest;
      if (weights[index] > cap) {
        weights[index] = cap;
        tracks.is_free[index] = 0;
        ++full;
      }
    }
    if (full == 0) {
      break;
    }
    const double left = rest - cap * static_cast<double>(full);
    rest = left > 0.0 ? left : 0.0;
  }
}

WALSTREET_INLINE void weigh(const SwingDay& today, const SwingPolicy& policy,
                            const SwingChosen& chosen, double* weights) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  const double* raw = today.chunk->raw +
                      (policy.volatility * today.chunk->capacity + today.day) * plan.stride;
  for (std::size_t index = 0; index < chosen.count; ++index) {
    tracks.raw[index] = raw[tracks.chosen[index]];
  }
  if (policy.clips) {
    double total = 0.0;
    for (std::size_t index = 0; index < chosen.count; ++index) {
      total = total + tracks.raw[index];
    }
    for (std::size_t index = 0; index < chosen.count; ++index) {
      const double share = tracks.raw[index] / total * policy.budget;
      weights[index] = policy.weight_max < share ? policy.weight_max : share;
    }
  } else {
    fill_water(tracks, chosen.count, policy.budget, policy.weight_max, weights);
  }
  if (policy.regime < plan.regime_count && tracks.regime_exists[policy.regime] != 0) {
    const double factor =
        today.chunk->factor[policy.regime * today.chunk->capacity + today.day];
    for (std::size_t index = 0; index < chosen.count; ++index) {
      weights[index] = weights[index] * factor;
    }
  }
}

// Returns where this target is, or the empty place where it belongs.
WALSTREET_INLINE std::size_t probe_target(const SwingDay& today, const SwingPolicy& policy,
                                          const SwingChosen& chosen, std::size_t& slot) {
  const SwingPlan& plan = *today.plan;
  const SwingTracks& tracks = *today.tracks;
  const std::uint64_t hash =
      (chosen.key + policy.weights * 0x9e37'79b9U) * 0x9e37'79b9'7f4a'7c15ULL;
  slot = tracks.is_direct ? chosen.key
                          : static_cast<std::size_t>(hash >> 32) & (tracks.table_size - 1);
  for (;; slot = (slot + 1) & (tracks.table_size - 1)) {
    const std::size_t found = tracks.target_table[slot];
    if (found >= tracks.target_count || tracks.targets[found].slot != slot) {
      return swing_none;
    }
    const SwingTarget& target = tracks.targets[found];
    if (tracks.is_direct) {
      return found;
    }
    if (target.key != chosen.key || target.weights != policy.weights) {
      continue;
    }
    if (plan.is_small) {
      return found;
    }
    const std::uint32_t* names = tracks.target_names + found * plan.names;
    bool same = target.name_count == chosen.count;
    for (std::size_t index = 0; same && index < chosen.count; ++index) {
      same = names[index] == tracks.chosen[index];
    }
    if (same) {
      return found;
    }
  }
}

// Computes a target, once a day.
[[gnu::noinline]] static std::size_t add_target(const SwingDay& today, const SwingPolicy& policy,
                                                SwingChosen chosen, std::size_t slot) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  if (plan.is_small) {
    for (auto mask = static_cast<std::uint32_t>(chosen.key); mask != 0; mask &= mask - 1) {
      tracks.chosen[chosen.count++] = static_cast<std::uint32_t>(__builtin_ctz(mask));
    }
  }
  const std::size_t created = tracks.target_count++;
  tracks.target_table[slot] = created;
  tracks.targets[created] = {chosen.key, policy.weights, chosen.count, slot, swing_none};
  std::uint32_t* names = tracks.target_names + created * plan.names;
  for (std::size_t index = 0; index < chosen.count; ++index) {
    names[index] = tracks.chosen[index];
  }
  weigh(today, policy, chosen, tracks.target_weights + created * plan.names);
  return created;
}

// Small universes pass a mask as the key and no count; large ones have the names in tracks.chosen.
WALSTREET_INLINE std::size_t find_target(const SwingDay& today, const SwingPolicy& policy,
                                         const SwingChosen& chosen) {
  std::size_t slot;
  const std::size_t found = probe_target(today, policy, chosen, slot);
  return found != swing_none ? found : add_target(today, policy, chosen, slot);
}

// Writes held and wanted weights of every name of either, in universe order.
WALSTREET_INLINE std::size_t unite(const SwingPlan& plan, SwingTracks& tracks, std::size_t book,
                                   std::size_t target) {
  const std::size_t held_count = books_today(tracks)[book].name_count;
  const std::size_t wanted_count = tracks.targets[target].name_count;
  const std::uint32_t* held_names = names_today(plan, tracks, book);
  const double* held = weights_today(plan, tracks, book);
  const std::uint32_t* wanted_names = tracks.target_names + target * plan.names;
  const double* wanted = tracks.target_weights + target * plan.names;
  std::size_t left = 0, right = 0, count = 0;
  if (plan.is_small && books_today(tracks)[book].mask == tracks.targets[target].key &&
      held_count == wanted_count) {
    for (; count < held_count; ++count) {
      tracks.union_names[count] = held_names[count];
      tracks.union_have[count] = held[count];
      tracks.union_want[count] = wanted[count];
      tracks.union_move[count] = wanted[count] - held[count];
    }
    return count;
  }
  while (left < held_count || right < wanted_count) {
    const std::uint32_t held_name = left < held_count ? held_names[left] : ~0U;
    const std::uint32_t wanted_name = right < wanted_count ? wanted_names[right] : ~0U;
    const bool has = held_name <= wanted_name;
    const bool wants = wanted_name <= held_name;
    tracks.union_names[count] = has ? held_name : wanted_name;
    tracks.union_have[count] = has ? held[left] : 0.0;
    tracks.union_want[count] = wants ? wanted[right] : 0.0;
    tracks.union_move[count] = tracks.union_want[count] - tracks.union_have[count];
    left += has ? 1 : 0;
    right += wants ? 1 : 0;
    ++count;
  }
  return count;
}

// Adds a book with the weights that are above 0.
WALSTREET_INLINE std::size_t add_book(const SwingPlan& plan, SwingTracks& tracks,
                                      const std::uint32_t* names, const double* weights,
                                      std::size_t count, bool is_short_of_cash) {
  const std::size_t side = 1 - tracks.side;
  const std::size_t created = tracks.next_count;
  std::uint32_t* new_names = tracks.book_names[side] + created * plan.names;
  double* new_weights = tracks.book_weights[side] + created * plan.names;
  std::size_t kept = 0;
  std::uint32_t mask = 0;
  for (std::size_t index = 0; index < count; ++index) {
    if (weights[index] > 0.0) {
      mask |= 1U << (names[index] % swing_small_symbols_max);
      new_names[kept] = names[index];
      new_weights[kept] = weights[index];
      ++kept;
    }
  }
  if (kept == 0 && !is_short_of_cash) {
    return 0;
  }
  SwingBook& book = tracks.books[side][created];
  book.name_count = kept;
  book.mask = mask;
  book.is_short_of_cash = is_short_of_cash;
  tracks.next_count = created + 1;
  return created;
}

// Cuts the moves up to the cash that is there without the day's sales; returns whether it had to.
WALSTREET_INLINE bool settle(SwingTracks& tracks, std::size_t count) {
  double invested = 0.0, buys = 0.0;
  for (std::size_t index = 0; index < count; ++index) {
    invested = invested + tracks.union_have[index];
    buys = buys + (tracks.union_move[index] > 0.0 ? tracks.union_move[index] : 0.0);
  }
  const double rest = 1.0 - invested;
  const double cash = rest > 0.0 ? rest : 0.0;
  if (buys <= cash + swing_dust) {
    return false;
  }
  const double share = cash / buys;
  for (std::size_t index = 0; index < count; ++index) {
    if (tracks.union_move[index] > 0.0) {
      tracks.union_move[index] = tracks.union_move[index] * share;
      tracks.union_want[index] = tracks.union_have[index] + tracks.union_move[index];
    }
  }
  return true;
}

WALSTREET_INLINE double order_cost(const SwingPolicy& policy, double size, double price,
                                   double equity_usd) {
  if (size == 0.0) {
    return 0.0;
  }
  double commission = size * policy.commission_per_share / price;
  if (policy.commission_minimum_usd > 0.0 && size > swing_dust) {
    const double least = policy.commission_minimum_usd / equity_usd;
    commission = least > commission ? least : commission;
  }
  return commission + size * policy.slippage;
}

[[gnu::noinline]] static SwingOutcome trade(const SwingDay& today, const SwingPolicy& policy,
                                    std::size_t index, std::size_t target_index, double equity,
                                    SwingTrade& done) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  SwingBook& book = books_today(tracks)[index];
  SwingTarget& target = tracks.targets[target_index];
  const std::size_t count = unite(plan, tracks, index, target_index);
  bool trades = book.is_short_of_cash;
  for (std::size_t place = 0; place < count; ++place) {
    trades |= __builtin_fabs(tracks.union_move[place]) > policy.band;
  }
  done = {0.0, 0.0};
  if (!trades) {
    if (book.next == swing_none) {
      book.next = add_book(plan, tracks, names_today(plan, tracks, index),
                           weights_today(plan, tracks, index), book.name_count, false);
    }
    return {book.gross, book.next};
  }
  const bool is_cut = policy.settles_later && settle(tracks, count);
  const double equity_usd = policy.equity_start_usd * equity * (1.0 + book.gross);
  for (std::size_t place = 0; place < count; ++place) {
    const double size = __builtin_fabs(tracks.union_move[place]);
    done.turnover = done.turnover + size;
    done.cost =
        done.cost + order_cost(policy, size, today.price[tracks.union_names[place]], equity_usd);
  }
  if (is_cut) {
    return {book.gross - done.cost,
            add_book(plan, tracks, tracks.union_names, tracks.union_want, count, true)};
  }
  if (target.next == swing_none) {
    target.next = add_book(plan, tracks, tracks.target_names + target_index * plan.names,
                           tracks.target_weights + target_index * plan.names, target.name_count,
                           false);
  }
  return {book.gross - done.cost, target.next};
}

}  // namespace walstreet::WALSTREET_LEVEL
