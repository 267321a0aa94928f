#include "swing_plan.hpp"

#include <algorithm>

namespace walstreet {

namespace {

// Returns the place of the first entry that is equal, adding it if there is none. Equality is field by field, because
// structs have padding; grids have few distinct parts, so a scan is enough.
template <typename Entry, typename Same>
std::size_t place_of(std::vector<Entry>& entries, const Entry& entry, const Same& same) {
  for (std::size_t index = 0; index < entries.size(); ++index) {
    if (same(entries[index])) {
      return index;
    }
  }
  entries.push_back(entry);
  return entries.size() - 1;
}

template <typename Value>
std::size_t place_of(std::vector<Value>& entries, const Value& value) {
  return place_of(entries, value, [&](const Value& other) { return other == value; });
}

std::size_t whole(double value) { return static_cast<std::size_t>(value); }

constexpr std::size_t unset = static_cast<std::size_t>(-1);

}  // namespace

SwingGrid::SwingGrid(const double* points, std::size_t point_count, std::size_t symbol_count) {
  points_.reserve(point_count);
  for (std::size_t index = 0; index < point_count; ++index) {
    add_point(points + index * swing_column_count);
  }
  // "None" is the count, which is known only now.
  for (SwingRule& rule : rules_) {
    rule.line = rule.line == unset ? lines_.size() : rule.line;
  }
  for (SwingPolicy& policy : policies_) {
    policy.regime = policy.regime == unset ? regimes_.size() : policy.regime;
  }
  std::size_t history = 0, names = 1;
  for (const std::size_t window : volatilities_) {
    history = std::max(history, window - 1);
  }
  for (const std::size_t window : correlations_) {
    history = std::max(history, window - 1);
  }
  for (const SwingPoint& point : points_) {
    names = std::max(names, point.name_count_max);
  }
  plan_ = {
      .symbol_count = symbol_count,
      .stride = (symbol_count + swing_quad - 1) / swing_quad * swing_quad,
      .history = history,
      .names = std::min(names, symbol_count),
      .is_small = symbol_count <= swing_small_symbols_max,
      .ema_windows = emas_.data(),
      .ema_count = emas_.size(),
      .atr_windows = atrs_.data(),
      .atr_count = atrs_.size(),
      .volatility_windows = volatilities_.data(),
      .volatility_count = volatilities_.size(),
      .correlation_windows = correlations_.data(),
      .correlation_count = correlations_.size(),
      .lines = lines_.data(),
      .line_count = lines_.size(),
      .scores = scores_.data(),
      .score_count = scores_.size(),
      .rules = rules_.data(),
      .rule_count = rules_.size(),
      .orders = orders_.data(),
      .order_count = orders_.size(),
      .caps = caps_.data(),
      .cap_count = caps_.size(),
      .policies = policies_.data(),
      .policy_count = policies_.size(),
      .regime_count = regimes_.size(),
      .points = points_.data(),
      .point_count = points_.size(),
  };
}

void SwingGrid::add_point(const double* point) {
  SwingScore score{place_of(emas_, point[column_ema_fast]),
                   place_of(atrs_, point[column_atr_window])};
  const std::size_t score_place = place_of(scores_, score, [&](const SwingScore& other) {
    return other.ema == score.ema && other.atr == score.atr;
  });
  SwingOrder order{score_place, point[column_hold_bonus], point[column_hold_bonus] > 0.0};
  SwingRule rule{};
  rule.score = score_place;
  rule.slow = place_of(emas_, point[column_ema_slow]);
  rule.line = unset;
  if (point[column_macd_enabled] != 0.0) {
    SwingLine line{place_of(emas_, point[column_macd_fast]),
                   place_of(emas_, point[column_macd_slow])};
    rule.line = place_of(lines_, line, [&](const SwingLine& other) {
      return other.fast == line.fast && other.slow == line.slow;
    });
  }
  rule.correlation = place_of(correlations_, whole(point[column_corr_window]));
  rule.volatility = place_of(volatilities_, whole(point[column_vol_window]));
  rule.order = place_of(orders_, order, [&](const SwingOrder& other) {
    return other.score == order.score && other.bonus == order.bonus;
  });
  rule.score_min = point[column_min_score];
  rule.floor = order.keeps ? point[column_hold_floor] : 0.0;
  rule.keeps = order.keeps;
  const std::size_t rule_place = place_of(rules_, rule, [&](const SwingRule& other) {
    return other.score == rule.score && other.slow == rule.slow && other.line == rule.line &&
           other.correlation == rule.correlation && other.volatility == rule.volatility &&
           other.order == rule.order && other.score_min == rule.score_min &&
           other.floor == rule.floor;
  });
  SwingCap cap{rule.correlation, point[column_corr_cap], point[column_signed_correlation] != 0.0};
  const std::size_t cap_place = place_of(caps_, cap, [&](const SwingCap& other) {
    return other.correlation == cap.correlation && other.cap == cap.cap &&
           other.is_signed == cap.is_signed;
  });
  points_.push_back({rule_place, cap_place, add_policy(point), whole(point[column_top_n])});
}

std::size_t SwingGrid::add_policy(const double* point) {
  SwingPolicy policy{};
  policy.volatility = place_of(volatilities_, whole(point[column_vol_window]));
  policy.regime = unset;
  if (point[column_regime_column] >= 0.0) {
    SwingRegime regime{whole(point[column_regime_column]), whole(point[column_regime_window]),
                       point[column_regime_factor]};
    policy.regime = place_of(regimes_, regime, [&](const SwingRegime& other) {
      return other.column == regime.column && other.window == regime.window &&
             other.factor == regime.factor;
    });
  }
  policy.weight_max = point[column_max_weight];
  policy.budget = 1.0 - point[column_cash_buffer];
  policy.band = point[column_band];
  policy.commission_per_share = point[column_commission_per_share];
  policy.commission_minimum_usd = point[column_commission_minimum_usd];
  policy.equity_start_usd = point[column_equity_start_usd];
  constexpr double bps = 10'000.0;
  policy.slippage = point[column_slippage_bps] / bps;
  policy.clips = point[column_clips] != 0.0;
  policy.settles_later = point[column_settles_later] != 0.0;
  const auto same_weights = [&](const SwingPolicy& other) {
    return other.volatility == policy.volatility && other.regime == policy.regime &&
           other.weight_max == policy.weight_max && other.budget == policy.budget &&
           other.clips == policy.clips;
  };
  const auto same = std::find_if(policies_.begin(), policies_.end(), same_weights);
  policy.weights = same == policies_.end() ? policies_.size() : same->weights;
  return place_of(policies_, policy, [&](const SwingPolicy& other) {
    return other.weights == policy.weights && other.band == policy.band &&
           other.commission_per_share == policy.commission_per_share &&
           other.commission_minimum_usd == policy.commission_minimum_usd &&
           other.equity_start_usd == policy.equity_start_usd &&
           other.slippage == policy.slippage && other.settles_later == policy.settles_later;
  });
}

}  // namespace walstreet
