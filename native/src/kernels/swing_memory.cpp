#include "swing_memory.hpp"

#include <utility>

namespace walstreet {

namespace {

constexpr std::size_t lane_word_planes = 5;  // held, enter, stay, room and chosen

// A mask of this many symbols is its own place in a table of targets, if all points weigh alike.
bool is_direct(const SwingPlan& plan) {
  if (plan.symbol_count > swing_tiny_symbols_max) {
    return false;
  }
  for (std::size_t policy = 0; policy < plan.policy_count; ++policy) {
    if (plan.policies[policy].weights != plan.policies[0].weights) {
      return false;
    }
  }
  return true;
}

}  // namespace

TracksMemory::TracksMemory(const SwingPlan& plan, std::vector<std::size_t> points,
                           std::size_t slot_count, std::size_t net_capacity)
    : points_(std::move(points)),
      tracks_(std::max<std::size_t>(points_.size() * slot_count, 1)),
      names_(plan.names),
      // Every ranking may leave a register unfilled.
      lanes_(plan.is_small ? tracks_ + plan.order_count * swing_lanes_16 : 0),
      // Every track makes at most one book and one target a day; book 0 is the flat one.
      books_(2 * (tracks_ + 1)),
      targets_(tracks_),
      weights_((3 * tracks_ + 2) * names_),
      scratch_(8 * names_),
      track_values_(5 * tracks_, 0.0),
      nets_(tracks_ * net_capacity),
      pair_values_(plan.is_small ? 0 : swing_pair_table_size),
      name_lists_((3 * tracks_ + 2) * names_ + 4 * names_),
      table_(is_direct(plan) ? std::size_t{1} << plan.symbol_count : std::bit_ceil(2 * tracks_ + 2), 0),
      track_places_(2 * tracks_ + points_.size() * (slot_count + 1), swing_none),
      groups_(plan.order_count + 1, 0),
      pair_words_(plan.is_small ? 0 : 2 * swing_pair_table_size, 0),
      lane_policies_(lanes_, 0),
      lane_facts_(3 * lanes_, 0),
      lane_words_((lane_word_planes + plan.cap_count) * lanes_, 0),
      is_free_(names_) {
  const std::size_t side = tracks_ + 1;
  const std::size_t pairs = pair_values_.size();
  double* weights = weights_.data();
  std::uint32_t* names = name_lists_.data();
  std::uint32_t* name_scratch = names + (3 * tracks_ + 2) * names_;
  view_ = {
      .points = points_.data(),
      .point_count = points_.size(),
      .slot_count = slot_count,
      .allowed = ~0U,
      .exists = nullptr,
      .regime_exists = nullptr,
      .book_capacity = side,
      .books = {books_.data(), books_.data() + side},
      .book_weights = {weights, weights + side * names_},
      .book_names = {names, names + side * names_},
      .book_count = 1,
      .next_count = 1,
      .side = 0,
      .targets = targets_.data(),
      .target_weights = weights + 2 * side * names_,
      .target_names = names + 2 * side * names_,
      .target_count = 0,
      .target_table = table_.data(),
      .table_size = table_.size(),
      .is_direct = is_direct(plan),
      .day_stamp = 0,
      .group_first = groups_.data(),
      .lane_track = lane_facts_.data(),
      .lane_rule = lane_facts_.data() + lanes_,
      .lane_policy = lane_policies_.data(),
      .lane_held = lane_words_.data(),
      .lane_enter = lane_words_.data() + lanes_,
      .lane_stay = lane_words_.data() + 2 * lanes_,
      .lane_room = lane_words_.data() + 3 * lanes_,
      .lane_chosen = lane_words_.data() + 4 * lanes_,
      .lane_caps = lane_words_.data() + lane_word_planes * lanes_,
      .lane_capacity = lanes_,
      .lane_list = lane_facts_.data() + 2 * lanes_,
      .lane_count = 0,
      .has_new_lanes = true,
      .book_of = track_places_.data(),
      .leader = track_places_.data() + tracks_,
      .net = track_values_.data(),
      .equity = track_values_.data() + tracks_,
      .peak = track_values_.data() + 2 * tracks_,
      .fall = track_values_.data() + 3 * tracks_,
      .leader_count = track_places_.data() + 2 * tracks_,
      .leaders = track_places_.data() + 2 * tracks_ + points_.size(),
      .row_net = track_values_.data() + 4 * tracks_,
      .nets = net_capacity == 0 ? nullptr : nets_.data(),
      .net_capacity = net_capacity,
      .union_have = scratch_.data(),
      .union_want = scratch_.data() + 2 * names_,
      .union_names = name_scratch,
      .union_move = scratch_.data() + 4 * names_,
      .raw = scratch_.data() + 6 * names_,
      .kept_key = scratch_.data() + 7 * names_,
      .kept_name = name_scratch + 2 * names_,
      .chosen = name_scratch + 3 * names_,
      .is_free = is_free_.data(),
      .pair_keys = pair_words_.data(),
      .pair_values = pair_values_.data(),
      .pair_days = pair_words_.data() + pairs,
      .pair_table_size = pairs,
  };
}

void TracksMemory::begin(const Existence& existence) {
  view_.allowed = existence.allowed();
  view_.exists = existence.symbols();
  view_.regime_exists = existence.regimes();
  view_.side = 0;
  view_.book_count = 1;
  view_.books[0][0] = {};
  view_.has_new_lanes = true;
  std::fill(track_places_.begin(), track_places_.end(), swing_none);
  std::fill_n(view_.leader_count, points_.size(), std::size_t{0});
  // A single track is driven without windows and begins flat.
  view_.book_of[0] = 0;
}

}  // namespace walstreet
