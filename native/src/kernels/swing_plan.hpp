// Owns the reading of a grid: every distinct average, ranking, cap and policy once, and points that refer to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "swing.hpp"

namespace walstreet {

// Columns of a point, in the order of walstreet/kernels/swing.py.
enum SwingColumn : std::size_t {
  column_ema_fast,
  column_ema_slow,
  column_atr_window,
  column_macd_enabled,
  column_macd_fast,
  column_macd_slow,
  column_top_n,
  column_corr_window,
  column_corr_cap,
  column_signed_correlation,
  column_min_score,
  column_hold_bonus,
  column_hold_floor,
  column_vol_window,
  column_max_weight,
  column_cash_buffer,
  column_clips,
  column_band,
  column_regime_column,
  column_regime_window,
  column_regime_factor,
  column_commission_per_share,
  column_commission_minimum_usd,
  column_slippage_bps,
  column_equity_start_usd,
  column_settles_later,
  swing_column_count,
};

struct SwingColumnBounds {
  const char* name;
  double lowest;
  double highest;
  bool is_whole;
};

inline constexpr double swing_window_limit = static_cast<double>(swing_window_max);
inline constexpr double swing_names_max = 500.0;
inline constexpr double swing_score_abs_max = 1'000.0;
inline constexpr std::size_t swing_day_count_max = 1'000'000;
inline constexpr std::size_t swing_symbol_count_max = 1'000'000;
inline constexpr std::size_t swing_point_count_max = 100'000;
inline constexpr std::size_t swing_window_count_max = 10'000;
inline constexpr std::size_t swing_thread_count_max = 64;

inline constexpr SwingColumnBounds swing_columns[swing_column_count] = {
    {"ema_fast", 1.0, swing_window_limit, true},
    {"ema_slow", 1.0, swing_window_limit, true},
    {"atr_window", 1.0, swing_window_limit, true},
    {"macd_enabled", 0.0, 1.0, true},
    {"macd_fast", 1.0, swing_window_limit, true},
    {"macd_slow", 1.0, swing_window_limit, true},
    {"top_n", 1.0, swing_names_max, true},
    {"corr_window", 2.0, swing_window_limit, true},
    {"corr_cap", -1.0, 1.0, false},
    {"signed_correlation", 0.0, 1.0, true},
    {"min_score", -swing_score_abs_max, swing_score_abs_max, false},
    {"hold_bonus", 0.0, swing_score_abs_max, false},
    {"hold_floor", -swing_score_abs_max, swing_score_abs_max, false},
    {"vol_window", 2.0, swing_window_limit, true},
    {"max_weight", 0.0, 1.0, false},
    {"cash_buffer", 0.0, 1.0, false},
    {"clips", 0.0, 1.0, true},
    {"band", 0.0, 1.0, false},
    {"regime_column", -1.0, static_cast<double>(swing_symbol_count_max), true},
    {"regime_window", 1.0, swing_window_limit, true},
    {"regime_factor", 0.0, 1.0, false},
    {"commission_per_share", 0.0, 1.0, false},
    {"commission_minimum_usd", 0.0, 100.0, false},
    {"slippage_bps", 0.0, 1'000.0, false},
    {"equity_start_usd", 1.0, 1e12, false},
    {"settles_later", 0.0, 1.0, true},
};

struct SwingRegime {
  std::size_t column;
  std::size_t window;
  double factor;
};

class SwingGrid {
 public:
  // points is (point_count, swing_column_count), already checked against the bounds.
  SwingGrid(const double* points, std::size_t point_count, std::size_t symbol_count);
  // The plan points into the vectors below.
  SwingGrid(const SwingGrid&) = delete;
  SwingGrid& operator=(const SwingGrid&) = delete;

  const SwingPlan& plan() const { return plan_; }
  const std::vector<SwingRegime>& regimes() const { return regimes_; }

 private:
  void add_point(const double* point);
  std::size_t add_policy(const double* point);

  SwingPlan plan_{};
  std::vector<double> emas_, atrs_;
  std::vector<std::size_t> volatilities_, correlations_;
  std::vector<SwingLine> lines_;
  std::vector<SwingScore> scores_;
  std::vector<SwingRule> rules_;
  std::vector<SwingOrder> orders_;
  std::vector<SwingCap> caps_;
  std::vector<SwingPolicy> policies_;
  std::vector<SwingRegime> regimes_;
  std::vector<SwingPoint> points_;
};

}  // namespace walstreet
