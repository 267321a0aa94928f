// Owns the choice in small universes: every track is a lane, and all lanes of a ranking walk down its ranks together.
#include "swing_day.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

// A register of masks, each of one track. Truth is all ones, so adding it takes one away.
template <typename Word>
struct Register {
  typedef Word Words __attribute__((vector_size(32)));
  static constexpr std::size_t count = 32 / sizeof(Word);
};

template <typename Word>
struct LaneWords {
  explicit LaneWords(const SwingTracks& tracks)
      : held(static_cast<Word*>(tracks.lane_held)),
        enter(static_cast<Word*>(tracks.lane_enter)),
        stay(static_cast<Word*>(tracks.lane_stay)),
        room(static_cast<Word*>(tracks.lane_room)),
        chosen(static_cast<Word*>(tracks.lane_chosen)),
        caps(static_cast<Word*>(tracks.lane_caps)) {}

  Word* held;
  Word* enter;
  Word* stay;
  Word* room;
  Word* chosen;
  Word* caps;
};

template <typename Word>
void add_lane(const SwingDay& today, const LaneWords<Word>& words, std::size_t lane,
              std::uint32_t track, std::size_t point) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  tracks.lane_track[lane] = track;
  tracks.lane_rule[lane] = static_cast<std::uint32_t>(plan.points[point].rule);
  tracks.lane_policy[lane] = std::uint64_t{plan.points[point].policy} << 32;
  words.held[lane] = words.enter[lane] = words.stay[lane] = words.room[lane] = 0;
  if (track != swing_no_track) {
    words.held[lane] = static_cast<Word>(books_today(tracks)[tracks.book_of[track]].mask);
    const std::size_t room = plan.points[point].name_count_max;
    const std::size_t most = plan.symbol_count;
    words.room[lane] = static_cast<Word>(room < most ? room : most);
  }
  for (std::size_t cap = 0; cap < plan.cap_count; ++cap) {
    const bool has_cap = track != swing_no_track && plan.points[point].cap == cap;
    words.caps[cap * tracks.lane_capacity + lane] = static_cast<Word>(has_cap ? ~Word{0} : 0);
  }
}

template <typename Word>
void lay_out_lanes(const SwingDay& today, const LaneWords<Word>& words) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  std::size_t lane = 0;
  tracks.lane_count = 0;
  for (std::size_t order = 0; order < plan.order_count; ++order) {
    tracks.group_first[order] = lane;
    for (std::size_t place = 0; place < tracks.point_count; ++place) {
      const std::size_t point = tracks.points[place];
      if (plan.rules[plan.points[point].rule].order != order) {
        continue;
      }
      const std::size_t* leaders = tracks.leaders + place * tracks.slot_count;
      for (std::size_t index = 0; index < tracks.leader_count[place]; ++index) {
        const std::size_t track = leaders[index] * tracks.point_count + place;
        tracks.lane_list[tracks.lane_count++] = static_cast<std::uint32_t>(lane);
        add_lane(today, words, lane++, static_cast<std::uint32_t>(track), point);
      }
    }
    while (lane % Register<Word>::count != 0) {
      add_lane(today, words, lane++, swing_no_track, 0);
    }
  }
  tracks.group_first[plan.order_count] = lane;
  tracks.has_new_lanes = false;
}

// The ranks at which some track of a group may take a name, and whom each name forbids, by cap.
template <typename Word>
struct Ranks {
  std::size_t count;
  // One more than can be counted, because entries are written before it is known whether they count.
  Word bit[swing_items_max + 1];
  std::uint8_t is_kept[swing_items_max + 1];
  std::uint8_t symbol[swing_items_max + 1];
  Word forbidden[swing_caps_together][swing_items_max + 1];  // of the first caps
};

template <typename Word>
WALSTREET_INLINE void list_ranks(const SwingDay& today, std::size_t order, std::uint32_t fresh,
                                 std::uint32_t kept, Ranks<Word>& ranks) {
  const SwingPlan& plan = *today.plan;
  const SwingChunk& chunk = *today.chunk;
  const std::size_t place = order * chunk.capacity + today.day;
  const std::uint8_t* ranked = chunk.ranked + place * swing_items_max;
  const std::size_t ranked_count = chunk.ranked_count[place];
  const std::uint32_t* compatible[swing_caps_together];
  for (std::size_t cap = 0; cap < swing_caps_together; ++cap) {
    // Caps that do not exist read the first one's; no lane has them.
    const std::size_t existing = cap < plan.cap_count ? cap : 0;
    compatible[cap] = chunk.compatible + (existing * chunk.capacity + today.day) * plan.stride;
  }
  const std::uint32_t wanted[2] = {fresh, kept};
  std::size_t count = 0;
  for (std::size_t rank = 0; rank < ranked_count; ++rank) {
    const std::size_t symbol = ranked[rank] & ~swing_kept_flag;
    const std::size_t is_kept = ranked[rank] >= swing_kept_flag ? 1 : 0;
    ranks.symbol[count] = static_cast<std::uint8_t>(symbol);
    ranks.bit[count] = static_cast<Word>(Word{1} << symbol);
    ranks.is_kept[count] = static_cast<std::uint8_t>(is_kept);
    for (std::size_t cap = 0; cap < swing_caps_together; ++cap) {
      ranks.forbidden[cap][count] = static_cast<Word>(~compatible[cap][symbol]);
    }
    count += (wanted[is_kept] >> symbol) & 1U;
  }
  ranks.count = count;
}

// The number of caps is a constant of the inner loop, so that what a lane's cap is stays in registers; 0 stands for more
// caps than that is worth.
template <typename Word, std::size_t cap_count>
WALSTREET_INLINE void walk_ranks(const SwingDay& today, const LaneWords<Word>& words,
                                 std::size_t first, std::size_t end, bool keeps,
                                 const Ranks<Word>& ranks) {
  using Words = typename Register<Word>::Words;
  const SwingTracks& tracks = *today.tracks;
  constexpr std::size_t register_caps = cap_count == 0 ? 1 : cap_count;
  for (std::size_t lane = first; lane < end; lane += Register<Word>::count) {
    const auto load = [lane](const Word* source, Words& target) {
      __builtin_memcpy(&target, source + lane, sizeof(Words));
    };
    Words held, enter, stay, room, has_cap[register_caps];
    load(words.held, held);
    load(words.enter, enter);
    load(words.stay, stay);
    load(words.room, room);
    for (std::size_t cap = 0; cap < cap_count; ++cap) {
      load(words.caps + cap * tracks.lane_capacity, has_cap[cap]);
    }
    const Words kept = stay & held;
    const Words fresh = keeps ? enter & ~held : enter;
    const Words sources[2] = {fresh, kept};
    Words chosen{}, forbidden{};
    for (std::size_t rank = 0; rank < ranks.count; ++rank) {
      const Words bit = ranks.bit[rank] - Words{};
      const Words candidates = sources[ranks.is_kept[rank]];
      const Words wanted = candidates & bit & ~forbidden;
      const Words taken = (Words)((wanted != Words{}) & (room != Words{}));
      Words row{};
      if constexpr (cap_count > 0) {
        for (std::size_t cap = 0; cap < cap_count; ++cap) {
          row |= has_cap[cap] & (ranks.forbidden[cap][rank] - Words{});
        }
      } else {
        const std::size_t stride = today.plan->stride;
        const std::uint32_t* compatible =
            today.chunk->compatible + today.day * stride + ranks.symbol[rank];
        for (std::size_t cap = 0; cap < today.plan->cap_count; ++cap) {
          load(words.caps + cap * tracks.lane_capacity, has_cap[0]);
          const Word single = static_cast<Word>(~compatible[cap * today.chunk->capacity * stride]);
          row |= has_cap[0] & (single - Words{});
        }
      }
      chosen |= taken & bit;
      forbidden |= taken & row;
      room += taken;
    }
    __builtin_memcpy(words.chosen + lane, &chosen, sizeof(Words));
  }
}

template <typename Word>
WALSTREET_INLINE void walk_group(const SwingDay& today, const LaneWords<Word>& words,
                                 std::size_t order, std::uint32_t fresh, std::uint32_t kept) {
  const SwingTracks& tracks = *today.tracks;
  const std::size_t first = tracks.group_first[order];
  const std::size_t end = tracks.group_first[order + 1];
  const bool keeps = today.plan->orders[order].keeps;
  Ranks<Word> ranks;
  list_ranks(today, order, fresh, kept, ranks);
  switch (today.plan->cap_count) {
    case 1: return walk_ranks<Word, 1>(today, words, first, end, keeps, ranks);
    case 2: return walk_ranks<Word, 2>(today, words, first, end, keeps, ranks);
    case 3: return walk_ranks<Word, 3>(today, words, first, end, keeps, ranks);
    default: return walk_ranks<Word, 0>(today, words, first, end, keeps, ranks);
  }
}

// Only the end of a group is filled up; those lanes have no room, whatever the rest says.
template <typename Word>
WALSTREET_INLINE void load_rules(const SwingDay& today, const LaneWords<Word>& words,
                                 std::size_t order, std::uint32_t& fresh, std::uint32_t& kept) {
  using Words = typename Register<Word>::Words;
  const SwingTracks& tracks = *today.tracks;
  const std::uint32_t* const enter = today.chunk->enter + today.day * today.plan->rule_count;
  const std::uint32_t* const stay = today.chunk->stay + today.day * today.plan->rule_count;
  const std::uint32_t* const lane_rule = tracks.lane_rule;
  const std::uint32_t allowed = tracks.allowed;
  const std::size_t first = tracks.group_first[order];
  const std::size_t end = tracks.group_first[order + 1];
  Word* const lane_enter = words.enter;
  Word* const lane_stay = words.stay;
  for (std::size_t lane = first; lane < end; ++lane) {
    lane_enter[lane] = static_cast<Word>(enter[lane_rule[lane]] & allowed);
    lane_stay[lane] = static_cast<Word>(stay[lane_rule[lane]]);
  }
  Words all_fresh{}, all_kept{};
  for (std::size_t lane = first; lane < end; lane += Register<Word>::count) {
    Words enters, stays, held;
    __builtin_memcpy(&enters, lane_enter + lane, sizeof(Words));
    __builtin_memcpy(&stays, lane_stay + lane, sizeof(Words));
    __builtin_memcpy(&held, words.held + lane, sizeof(Words));
    all_fresh |= enters;
    all_kept |= stays & held;
  }
  fresh = kept = 0;
  for (std::size_t lane = 0; lane < Register<Word>::count; ++lane) {
    fresh |= all_fresh[lane];
    kept |= all_kept[lane];
  }
}

template <typename Word>
void choose_masked(const SwingDay& today) {
  const LaneWords<Word> words(*today.tracks);
  if (today.tracks->has_new_lanes) {
    lay_out_lanes(today, words);
  }
  for (std::size_t order = 0; order < today.plan->order_count; ++order) {
    std::uint32_t fresh, kept;
    load_rules(today, words, order, fresh, kept);
    walk_group(today, words, order, fresh, kept);
  }
}

}  // namespace

void swing_choose_masked(const SwingDay& today) {
  if (today.plan->symbol_count <= swing_tiny_symbols_max) {
    choose_masked<std::uint16_t>(today);
  } else {
    choose_masked<std::uint32_t>(today);
  }
}

std::uint32_t swing_choose_single(const SwingDay& today, std::size_t point, const SwingBook& book) {
  const SwingPlan& plan = *today.plan;
  const SwingPoint& chosen_point = plan.points[point];
  const SwingRule& rule = plan.rules[chosen_point.rule];
  const SwingChunk& chunk = *today.chunk;
  const std::size_t rule_place = today.day * plan.rule_count + chosen_point.rule;
  const std::size_t order_place = rule.order * chunk.capacity + today.day;
  const std::uint32_t* compatible =
      chunk.compatible + (chosen_point.cap * chunk.capacity + today.day) * plan.stride;
  const std::uint8_t* ranked = chunk.ranked + order_place * swing_items_max;
  const std::uint32_t held = rule.keeps ? book.mask : 0;
  const std::uint32_t fresh = chunk.enter[rule_place] & today.tracks->allowed & ~held;
  const std::uint32_t kept = chunk.stay[rule_place] & held;
  std::uint32_t chosen = 0;
  std::uint32_t open = ~0U;
  std::size_t room = chosen_point.name_count_max;
  for (std::size_t rank = 0; rank < chunk.ranked_count[order_place] && room > 0; ++rank) {
    const std::uint32_t symbol = ranked[rank] & static_cast<std::uint32_t>(~swing_kept_flag);
    const std::uint32_t candidates = (ranked[rank] & swing_kept_flag) != 0 ? kept : fresh;
    if ((candidates & open & (1U << symbol)) != 0) {
      chosen |= 1U << symbol;
      open &= compatible[symbol];
      --room;
    }
  }
  return chosen;
}

}  // namespace walstreet::WALSTREET_LEVEL
