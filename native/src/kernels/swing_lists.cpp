// Owns the choice in large universes: candidates by score, correlations computed when a pair meets.
#include "swing_day.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

constexpr std::uint8_t may_enter = 1;
constexpr std::uint8_t may_stay = 2;
constexpr std::size_t probe_max = 16;

void prepare_flags(const SwingPlan& plan, const SwingChunk& chunk, std::size_t index,
                   std::size_t day) {
  const SwingRule& rule = plan.rules[index];
  const std::size_t row = day * plan.stride;
  const std::size_t plane = chunk.capacity * plan.stride;
  const double* score = chunk.score + rule.score * plane + row;
  const double* fast = chunk.ema + plan.scores[rule.score].ema * plane + row;
  const double* slow = chunk.ema + rule.slow * plane + row;
  const double* raw = chunk.raw + rule.volatility * plane + row;
  const double* run = chunk.run + row;
  const double* close = chunk.close + row;
  const double window = static_cast<double>(plan.correlation_windows[rule.correlation]);
  std::uint8_t* flags = chunk.flags + (index * chunk.capacity + day) * plan.stride;
  for (std::size_t symbol = 0; symbol < plan.symbol_count; ++symbol) {
    bool passing = fast[symbol] > slow[symbol] && raw[symbol] >= 0.0 && run[symbol] >= window;
    if (rule.line < plan.line_count) {
      const SwingLine& line = plan.lines[rule.line];
      passing = passing && chunk.ema[line.fast * plane + row + symbol] -
                                   chunk.ema[line.slow * plane + row + symbol] >
                               0.0;
    }
    const bool is_below = close[symbol] < fast[symbol];
    const bool enters = passing && !is_below && score[symbol] >= rule.score_min;
    const bool stays = rule.keeps && passing && score[symbol] >= rule.floor;
    flags[symbol] = static_cast<std::uint8_t>((enters ? may_enter : 0) | (stays ? may_stay : 0));
  }
}

bool is_before(const double* score, std::uint32_t left, std::uint32_t right) {
  return score[left] > score[right] || (score[left] == score[right] && left < right);
}

// Merges runs from the bottom up; the order is total, so any correct sort gives the same list.
void sort_by_score(const double* score, std::uint32_t* listed, std::size_t count,
                   std::uint32_t* scratch) {
  for (std::size_t width = 1; width < count; width *= 2) {
    for (std::size_t start = 0; start < count; start += 2 * width) {
      const std::size_t middle = start + width < count ? start + width : count;
      const std::size_t end = middle + width < count ? middle + width : count;
      std::size_t left = start, right = middle;
      for (std::size_t place = start; place < end; ++place) {
        const bool takes_left =
            left < middle && (right == end || is_before(score, listed[left], listed[right]));
        scratch[place] = takes_left ? listed[left++] : listed[right++];
      }
    }
    for (std::size_t place = 0; place < count; ++place) {
      listed[place] = scratch[place];
    }
  }
}

void prepare_list(const SwingPrepare& arguments, std::size_t index, std::size_t day) {
  const SwingPlan& plan = *arguments.plan;
  const SwingChunk& chunk = *arguments.chunk;
  const std::size_t place = index * chunk.capacity + day;
  std::uint32_t* listed = chunk.listed + place * plan.stride;
  std::size_t count = 0;
  for (std::uint32_t symbol = 0; symbol < plan.symbol_count; ++symbol) {
    std::uint8_t flags = 0;
    for (std::size_t rule = 0; rule < plan.rule_count; ++rule) {
      if (plan.rules[rule].score == index) {
        flags |= chunk.flags[(rule * chunk.capacity + day) * plan.stride + symbol];
      }
    }
    if ((flags & may_enter) != 0) {
      listed[count++] = symbol;
    }
  }
  sort_by_score(chunk.score + place * plan.stride, listed, count, arguments.moments->sort_scratch);
  chunk.listed_count[place] = count;
}

// Keeps today's correlations in a table; a pair that finds no place is computed again.
double pair_correlation(const SwingDay& today, std::size_t correlation, std::size_t left,
                        std::size_t right) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  const std::uint64_t pair =
      (static_cast<std::uint64_t>(correlation) * plan.stride + left) * plan.stride + right;
  const std::uint64_t hash = (pair + tracks.day_stamp * 0x1000'0000'01b3ULL) * 0x9e37'79b9'7f4a'7c15ULL;
  const double* newest = today.chunk->returns + (plan.history + today.day) * plan.stride;
  for (std::size_t probe = 0; probe < probe_max; ++probe) {
    const std::size_t slot =
        (static_cast<std::size_t>(hash >> 32) + probe) & (tracks.pair_table_size - 1);
    if (tracks.pair_days[slot] == tracks.day_stamp && tracks.pair_keys[slot] == pair) {
      return tracks.pair_values[slot];
    }
    if (tracks.pair_days[slot] != tracks.day_stamp) {
      tracks.pair_days[slot] = tracks.day_stamp;
      tracks.pair_keys[slot] = pair;
      tracks.pair_values[slot] = swing_correlation(
          newest, plan.stride, plan.correlation_windows[correlation], left, right);
      return tracks.pair_values[slot];
    }
  }
  return swing_correlation(newest, plan.stride, plan.correlation_windows[correlation], left, right);
}

bool may_join(const SwingDay& today, const SwingPoint& point, std::uint32_t symbol,
              std::size_t chosen_count) {
  const SwingCap& cap = today.plan->caps[point.cap];
  for (std::size_t index = 0; index < chosen_count; ++index) {
    const std::uint32_t other = today.tracks->chosen[index];
    const std::uint32_t left = symbol < other ? symbol : other;
    const std::uint32_t right = symbol < other ? other : symbol;
    const double value = pair_correlation(today, cap.correlation, left, right);
    const double compared = cap.is_signed ? value : __builtin_fabs(value);
    if (!(compared <= cap.cap)) {
      return false;
    }
  }
  return true;
}

// Held names that may stay, best first.
std::size_t list_kept(const SwingDay& today, const SwingPoint& point, const SwingBook& book,
                      const std::uint32_t* names) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  const SwingRule& rule = plan.rules[point.rule];
  const std::size_t capacity = today.chunk->capacity;
  const double* score = today.chunk->score + (rule.score * capacity + today.day) * plan.stride;
  const std::uint8_t* flags =
      today.chunk->flags + (point.rule * capacity + today.day) * plan.stride;
  std::size_t count = 0;
  for (std::size_t index = 0; rule.keeps && index < book.name_count; ++index) {
    const std::uint32_t name = names[index];
    if ((flags[name] & may_stay) == 0) {
      continue;
    }
    const double key = score[name] + plan.orders[rule.order].bonus;
    std::size_t place = count++;
    // Names come in universe order, so equals stay behind those that are there.
    for (; place > 0 && tracks.kept_key[place - 1] < key; --place) {
      tracks.kept_key[place] = tracks.kept_key[place - 1];
      tracks.kept_name[place] = tracks.kept_name[place - 1];
    }
    tracks.kept_key[place] = key;
    tracks.kept_name[place] = name;
  }
  return count;
}

bool holds(const SwingBook& book, const std::uint32_t* names, std::uint32_t symbol) {
  std::size_t low = 0, high = book.name_count;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (names[middle] < symbol) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < book.name_count && names[low] == symbol;
}

}  // namespace

void swing_prepare_lists(const SwingPrepare& arguments) {
  const SwingPlan& plan = *arguments.plan;
  for (std::size_t day = arguments.day_first; day < arguments.day_end; ++day) {
    for (std::size_t rule = 0; rule < plan.rule_count; ++rule) {
      prepare_flags(plan, *arguments.chunk, rule, day);
    }
    for (std::size_t index = 0; index < plan.score_count; ++index) {
      prepare_list(arguments, index, day);
    }
  }
}

SwingChosen swing_choose_listed(const SwingDay& today, const SwingPoint& point,
                                const SwingBook& book, const std::uint32_t* names) {
  const SwingPlan& plan = *today.plan;
  SwingTracks& tracks = *today.tracks;
  const SwingRule& rule = plan.rules[point.rule];
  const std::size_t capacity = today.chunk->capacity;
  const std::size_t place = rule.score * capacity + today.day;
  const double* score = today.chunk->score + place * plan.stride;
  const std::uint32_t* listed = today.chunk->listed + place * plan.stride;
  const std::size_t listed_count = today.chunk->listed_count[place];
  const std::uint8_t* flags =
      today.chunk->flags + (point.rule * capacity + today.day) * plan.stride;
  const std::size_t kept_count = list_kept(today, point, book, names);
  std::size_t next_new = 0, next_kept = 0, count = 0;
  while (count < point.name_count_max) {
    while (next_new < listed_count &&
           ((flags[listed[next_new]] & may_enter) == 0 || tracks.exists[listed[next_new]] == 0 ||
            (rule.keeps && holds(book, names, listed[next_new])))) {
      ++next_new;
    }
    if (next_new == listed_count && next_kept == kept_count) {
      break;
    }
    bool takes_kept = next_new == listed_count;
    if (!takes_kept && next_kept < kept_count) {
      const double new_key = score[listed[next_new]];
      const double kept_key = tracks.kept_key[next_kept];
      takes_kept = kept_key > new_key ||
                   (kept_key == new_key && tracks.kept_name[next_kept] < listed[next_new]);
    }
    const std::uint32_t symbol = takes_kept ? tracks.kept_name[next_kept++] : listed[next_new++];
    if (may_join(today, point, symbol, count)) {
      tracks.chosen[count++] = symbol;
    }
  }
  // Universe order, and a key that depends on the names alone.
  for (std::size_t index = 1; index < count; ++index) {
    const std::uint32_t symbol = tracks.chosen[index];
    std::size_t at = index;
    for (; at > 0 && tracks.chosen[at - 1] > symbol; --at) {
      tracks.chosen[at] = tracks.chosen[at - 1];
    }
    tracks.chosen[at] = symbol;
  }
  std::uint64_t key = 0;
  for (std::size_t index = 0; index < count; ++index) {
    key = (key ^ (tracks.chosen[index] + 1)) * 0x0000'0100'0000'01b3ULL;
  }
  return {key, count};
}

}  // namespace walstreet::WALSTREET_LEVEL
