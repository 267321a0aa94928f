// Owns the days of many simulations at once: grid points in windows, each a track that holds a book.
//
// A window's track that holds the same book as another window's track of the same point does the same for ever after,
// so one of the two follows the other, and only equity and drawdown stay apart.
#include "kernels_level.hpp"
#include "swing_trade.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

WALSTREET_INLINE SwingDay day_of(const SwingPlan& plan, const SwingChunk& chunk,
                                 SwingTracks& tracks, std::size_t day) {
  return {&plan, &chunk, &tracks, day, chunk.growth + day * plan.stride,
          chunk.price + day * plan.stride};
}

// A least commission depends on the equity, which no two tracks share.
bool is_private(const SwingPlan& plan, std::size_t point) {
  return plan.policies[plan.points[point].policy].commission_minimum_usd > 0.0;
}

void begin_windows(const SwingRun& arguments, std::size_t row) {
  SwingTracks& tracks = *arguments.tracks;
  std::size_t& next = *arguments.window_next;
  for (; next < arguments.window_count && arguments.windows[next].first == row; ++next) {
    const std::size_t slot = arguments.windows[next].slot;
    arguments.active[slot] = next;
    for (std::size_t point = 0; point < tracks.point_count; ++point) {
      const std::size_t lane = slot * tracks.point_count + point;
      tracks.book_of[lane] = 0;
      tracks.leader[lane] = slot;
      tracks.equity[lane] = 1.0;
      tracks.peak[lane] = 1.0;
      tracks.fall[lane] = 0.0;
      tracks.leaders[point * tracks.slot_count + tracks.leader_count[point]++] = slot;
    }
    tracks.has_new_lanes = true;
  }
}

// Lets later windows lead, because they end later.
void merge_tracks(const SwingRun& arguments, std::size_t point) {
  SwingTracks& tracks = *arguments.tracks;
  std::size_t* leaders = tracks.leaders + point * tracks.slot_count;
  std::size_t& count = tracks.leader_count[point];
  for (std::size_t first = 0; first + 1 < count; ++first) {
    for (std::size_t second = first + 1; second < count;) {
      const std::size_t book = tracks.book_of[leaders[first] * tracks.point_count + point];
      if (tracks.book_of[leaders[second] * tracks.point_count + point] != book) {
        ++second;
        continue;
      }
      const std::size_t last_of_first = arguments.windows[arguments.active[leaders[first]]].last;
      const std::size_t last_of_second = arguments.windows[arguments.active[leaders[second]]].last;
      const std::size_t kept = last_of_second > last_of_first ? leaders[second] : leaders[first];
      const std::size_t merged = kept == leaders[first] ? leaders[second] : leaders[first];
      leaders[first] = kept;
      leaders[second] = leaders[--count];
      tracks.has_new_lanes = true;
      for (std::size_t slot = 0; slot < tracks.slot_count; ++slot) {
        std::size_t& leader = tracks.leader[slot * tracks.point_count + point];
        leader = leader == merged ? kept : leader;
      }
    }
  }
}

// Two tracks of the same book, target and policy have the same day; a least commission makes every track's its own.
[[gnu::noinline]] void find_outcome(const SwingDay& today, std::size_t policy_place,
                                    std::size_t track, const SwingChosen& chosen,
                                    std::uint64_t key) {
  SwingTracks& tracks = *today.tracks;
  const SwingPolicy& policy = today.plan->policies[policy_place];
  const std::size_t target = find_target(today, policy, chosen);
  const std::size_t index = tracks.book_of[track];
  SwingBook& book = books_today(tracks)[index];
  SwingTrade done;
  const SwingOutcome outcome = trade(today, policy, index, target, tracks.equity[track], done);
  book.outcome_key = policy.commission_minimum_usd > 0.0 ? swing_no_outcome : key;
  book.outcome_next = outcome.next;
  book.outcome_mask = tracks.books[1 - tracks.side][outcome.next].mask;
  book.outcome_net = outcome.net;
}

// A mask and a policy are one key; a list is known by the place of its target.
template <typename Word>
void turn_lanes(const SwingDay& today) {
  SwingTracks& tracks = *today.tracks;
  SwingBook* const books = books_today(tracks);
  std::size_t* const book_of = tracks.book_of;
  double* const net = tracks.net;
  const std::uint32_t* const lane_track = tracks.lane_track;
  const std::uint64_t* const lane_policy = tracks.lane_policy;
  const Word* const chosen = static_cast<const Word*>(tracks.lane_chosen);
  Word* const held = static_cast<Word*>(tracks.lane_held);
  const std::uint32_t* const lanes = tracks.lane_list;
  const std::size_t lane_count = tracks.lane_count;
  for (std::size_t index = 0; index < lane_count; ++index) {
    const std::size_t lane = lanes[index];
    const std::size_t track = lane_track[lane];
    SwingBook& book = books[book_of[track]];
    const std::uint64_t key = chosen[lane] | lane_policy[lane];
    if (book.outcome_key != key) {
      find_outcome(today, lane_policy[lane] >> 32, track, {chosen[lane], 0}, key);
    }
    net[track] = book.outcome_net;
    book_of[track] = book.outcome_next;
    held[lane] = static_cast<Word>(book.outcome_mask);
  }
}

void turn_listed(const SwingDay& today) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  for (std::size_t place = 0; place < tracks.point_count; ++place) {
    const SwingPoint& point = plan.points[tracks.points[place]];
    const std::size_t* leaders = tracks.leaders + place * tracks.slot_count;
    for (std::size_t index = 0; index < tracks.leader_count[place]; ++index) {
      const std::size_t track = leaders[index] * tracks.point_count + place;
      const std::size_t book_place = tracks.book_of[track];
      SwingBook& book = books_today(tracks)[book_place];
      const SwingChosen chosen =
          swing_choose_listed(today, point, book, names_today(plan, tracks, book_place));
      const std::size_t target = find_target(today, plan.policies[point.policy], chosen);
      const std::uint64_t key = target | (std::uint64_t{point.policy} << 32);
      if (book.outcome_key != key) {
        find_outcome(today, point.policy, track, chosen, key);
      }
      tracks.net[track] = book.outcome_net;
      tracks.book_of[track] = book.outcome_next;
    }
  }
}

void turn_tracks(const SwingDay& today) {
  if (!today.plan->is_small) {
    turn_listed(today);
    return;
  }
  swing_choose_masked(today);
  if (today.plan->symbol_count <= swing_tiny_symbols_max) {
    turn_lanes<std::uint16_t>(today);
  } else {
    turn_lanes<std::uint32_t>(today);
  }
}

// The largest fall needs a division only where equity is near or below the lowest share of its peak so far: with the
// room below, no rounding can make a higher equity a new fall.
constexpr double fall_room = 1e-14;

WALSTREET_INLINE void follow_leaders(const std::size_t* leader, const double* net,
                                     std::size_t count, double* row) {
  for (std::size_t point = 0; point < count; ++point) {
    row[point] = net[leader[point] * count + point];
  }
}

WALSTREET_INLINE void move_equity(double* equity, double* peak, double* fall, const double* net,
                                  std::size_t count) {
  std::size_t track = 0;
  Quad one, room;
  fill_quad(1.0, one);
  fill_quad(fall_room, room);
  for (; track + swing_quad <= count; track += swing_quad) {
    Quad now, top, largest, change;
    load_quad(equity + track, now);
    load_quad(peak + track, top);
    load_quad(fall + track, largest);
    load_quad(net + track, change);
    now = now * (one + change);
    top = now > top ? now : top;
    store_quad(equity + track, now);
    store_quad(peak + track, top);
    if (quad_bits(now <= top * ((one - largest) + room)) != 0) {
      const Quad down = one - now / top;
      largest = down > largest ? down : largest;
      store_quad(fall + track, largest);
    }
  }
  for (; track < count; ++track) {
    const double now = equity[track] * (1.0 + net[track]);
    const double top = now > peak[track] ? now : peak[track];
    const double down = 1.0 - now / top;
    equity[track] = now;
    peak[track] = top;
    fall[track] = down > fall[track] ? down : fall[track];
  }
}

double sharpe_of(double* nets, std::size_t count) {
  bool varies = false;
  for (std::size_t day = 1; day < count; ++day) {
    varies = varies || nets[day] != nets[0];
  }
  if (!varies) {
    return 0.0;
  }
  const double mean = ordered_sum(nets, count) / static_cast<double>(count);
  for (std::size_t day = 0; day < count; ++day) {
    nets[day] = nets[day] - mean;
  }
  const double variance = ordered_dot(nets, nets, count) / static_cast<double>(count - 1);
  constexpr double days_per_year = 252.0;
  return mean / __builtin_sqrt(variance) * __builtin_sqrt(days_per_year);
}

void end_window(const SwingRun& arguments, std::size_t slot) {
  SwingTracks& tracks = *arguments.tracks;
  const std::size_t window = arguments.active[slot];
  const SwingWindow& ended = arguments.windows[window];
  for (std::size_t point = 0; point < tracks.point_count; ++point) {
    const std::size_t lane = slot * tracks.point_count + point;
    const std::size_t output = window * arguments.plan->point_count + tracks.points[point];
    arguments.ends[output] = tracks.equity[lane];
    arguments.falls[output] = tracks.fall[lane];
    if (tracks.nets != nullptr) {
      arguments.ends[output] =
          sharpe_of(tracks.nets + lane * tracks.net_capacity, ended.last - ended.first + 1);
    }
    if (tracks.leader[lane] == slot) {
      std::size_t heir = swing_none;
      for (std::size_t other = 0; other < tracks.slot_count; ++other) {
        std::size_t& leader = tracks.leader[other * tracks.point_count + point];
        if (other != slot && arguments.active[other] != swing_none && leader == slot) {
          heir = heir == swing_none ? other : heir;
          leader = heir;
        }
      }
      std::size_t* leaders = tracks.leaders + point * tracks.slot_count;
      std::size_t place = 0;
      while (leaders[place] != slot) {
        ++place;
      }
      if (heir == swing_none) {
        leaders[place] = leaders[--tracks.leader_count[point]];
      } else {
        leaders[place] = heir;
        tracks.book_of[heir * tracks.point_count + point] = tracks.book_of[lane];
      }
    }
    tracks.leader[lane] = swing_none;
  }
  tracks.has_new_lanes = true;
  arguments.active[slot] = swing_none;
}

void keep_nets(const SwingRun& arguments, std::size_t slot, std::size_t row, const double* net) {
  SwingTracks& tracks = *arguments.tracks;
  const std::size_t day = row - arguments.windows[arguments.active[slot]].first;
  for (std::size_t point = 0; point < tracks.point_count; ++point) {
    tracks.nets[(slot * tracks.point_count + point) * tracks.net_capacity + day] =
        net[point];
  }
}

}  // namespace

void swing_run(const SwingRun& arguments) {
  SwingTracks& tracks = *arguments.tracks;
  const std::size_t points = tracks.point_count;
  for (std::size_t day = 0; day < arguments.day_count; ++day) {
    const std::size_t row = arguments.row_of_chunk + day;
    begin_windows(arguments, row);
    bool is_any_active = false;
    for (std::size_t slot = 0; slot < tracks.slot_count; ++slot) {
      is_any_active = is_any_active || arguments.active[slot] != swing_none;
    }
    if (!is_any_active) {
      continue;
    }
    const SwingDay today = day_of(*arguments.plan, *arguments.chunk, tracks, day);
    open_day(today);
    turn_tracks(today);
    for (std::size_t slot = 0; slot < tracks.slot_count; ++slot) {
      if (arguments.active[slot] == swing_none) {
        continue;
      }
      const std::size_t first = slot * points;
      // The only window there is follows nobody.
      const double* net = tracks.net;
      if (tracks.slot_count > 1) {
        follow_leaders(tracks.leader + first, tracks.net, points, tracks.row_net);
        net = tracks.row_net;
      }
      move_equity(tracks.equity + first, tracks.peak + first, tracks.fall + first, net, points);
      if (tracks.nets != nullptr) {
        keep_nets(arguments, slot, row, net);
      }
    }
    for (std::size_t point = 0; point < points && tracks.slot_count > 1; ++point) {
      if (tracks.leader_count[point] > 1 && !is_private(*arguments.plan, tracks.points[point])) {
        merge_tracks(arguments, point);
      }
    }
    for (std::size_t slot = 0; slot < tracks.slot_count; ++slot) {
      if (arguments.active[slot] != swing_none &&
          arguments.windows[arguments.active[slot]].last == row) {
        end_window(arguments, slot);
      }
    }
    close_day(tracks);
  }
}

void swing_record(const SwingRecord& arguments) {
  const SwingPlan& plan = *arguments.plan;
  SwingTracks& tracks = *arguments.tracks;
  const SwingPoint& point = plan.points[arguments.point];
  const SwingPolicy& policy = plan.policies[point.policy];
  for (std::size_t day = arguments.day_first; day < arguments.day_end; ++day) {
    const SwingDay today = day_of(plan, *arguments.chunk, tracks, day);
    const std::size_t output = arguments.output_first + day - arguments.day_first;
    open_day(today);
    const std::size_t index = tracks.book_of[0];
    const SwingBook& book = books_today(tracks)[index];
    SwingChosen chosen;
    if (plan.is_small) {
      chosen = {swing_choose_single(today, arguments.point, book), 0};
    } else {
      chosen = swing_choose_listed(today, point, book, names_today(plan, tracks, index));
    }
    const std::size_t target = find_target(today, policy, chosen);
    SwingTrade done;
    const SwingOutcome outcome =
        trade(today, policy, index, target, *arguments.equity_now, done);
    arguments.gross[output] = book.gross;
    arguments.turnover[output] = done.turnover;
    arguments.cost[output] = done.cost;
    arguments.net[output] = outcome.net;
    *arguments.equity_now = *arguments.equity_now * (1.0 + outcome.net);
    arguments.equity[output] = *arguments.equity_now;
    arguments.traded[output] = done.turnover > 0.0 ? 1 : 0;
    double* target_row = arguments.target + output * plan.symbol_count;
    double* held_row = arguments.held + output * plan.symbol_count;
    for (std::size_t symbol = 0; symbol < plan.symbol_count; ++symbol) {
      target_row[symbol] = 0.0;
      held_row[symbol] = 0.0;
    }
    for (std::size_t place = 0; place < tracks.targets[target].name_count; ++place) {
      target_row[tracks.target_names[target * plan.names + place]] =
          tracks.target_weights[target * plan.names + place];
    }
    tracks.book_of[0] = outcome.next;
    close_day(tracks);
    const SwingBook& kept = books_today(tracks)[outcome.next];
    for (std::size_t place = 0; place < kept.name_count; ++place) {
      held_row[names_today(plan, tracks, outcome.next)[place]] =
          weights_today(plan, tracks, outcome.next)[place];
    }
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
