// Owns the memory of the rotation's engine: symbols' state, chunks of days, and the books of a thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "swing_plan.hpp"

namespace walstreet {

inline constexpr std::size_t swing_chunk_rows_max = 256;
inline constexpr std::size_t swing_chunk_rows_min = 32;
// Values of one plane of a chunk, so that wide universes do not need more memory than long ones.
inline constexpr std::size_t swing_chunk_values = 262'144;
inline constexpr std::size_t swing_pair_table_size = 65'536;
static_assert(std::has_single_bit(swing_pair_table_size));

inline std::size_t chunk_rows(std::size_t stride) {
  return std::clamp(swing_chunk_values / stride, swing_chunk_rows_min, swing_chunk_rows_max);
}

// Memory that is written before it is read.
template <typename Value>
class Plane {
 public:
  explicit Plane(std::size_t count) : values_(std::make_unique_for_overwrite<Value[]>(count)) {}
  Value* data() const { return values_.get(); }

 private:
  std::unique_ptr<Value[]> values_;
};

class StateMemory {
 public:
  explicit StateMemory(const SwingPlan& plan)
      : stride_(plan.stride),
        values_((4 + plan.ema_count + 2 * plan.atr_count) * plan.stride, 0.0) {
    const double missing = std::numeric_limits<double>::quiet_NaN();
    std::fill_n(values_.begin() + static_cast<std::ptrdiff_t>(stride_), 2 * stride_, missing);
    double* rest = values_.data() + 4 * stride_;
    view_ = {
        .bar_count = values_.data(),
        .last = values_.data() + stride_,
        .previous = values_.data() + 2 * stride_,
        .run = values_.data() + 3 * stride_,
        .ema_level = rest,
        .atr_total = rest + plan.ema_count * stride_,
        .atr_level = rest + (plan.ema_count + plan.atr_count) * stride_,
    };
  }
  StateMemory(const StateMemory&) = delete;
  StateMemory& operator=(const StateMemory&) = delete;

  const SwingState& view() const { return view_; }
  const std::vector<double>& values() const { return values_; }
  void restore(const std::vector<double>& values) { std::copy(values.begin(), values.end(), values_.begin()); }

 private:
  std::size_t stride_;
  std::vector<double> values_;
  SwingState view_{};
};

class ChunkMemory {
 public:
  explicit ChunkMemory(const SwingPlan& plan)
      : rows_(chunk_rows(plan.stride)),
        plane_(rows_ * plan.stride),
        small_(plan.is_small ? 1 : 0),
        large_(plan.is_small ? 0 : 1),
        prices_(5 * plane_),
        returns_((plan.history + rows_) * plan.stride),
        run_(plane_),
        averages_((plan.ema_count + plan.atr_count) * plane_),
        raw_(plan.volatility_count * plane_),
        score_(plan.score_count * plane_),
        factor_(plan.regime_count * rows_),
        masks_(small_ * ((2 * plan.rule_count + 1) * rows_ + plan.cap_count * plane_)),
        ranked_(small_ * plan.order_count * rows_ * (swing_items_max + 1)),
        flags_(large_ * plan.rule_count * plane_),
        listed_(large_ * plan.score_count * plane_),
        listed_count_(large_ * plan.score_count * rows_) {
    std::uint32_t* masks = masks_.data();
    view_ = {
        .capacity = rows_,
        .high = prices_.data(),
        .low = prices_.data() + plane_,
        .close = prices_.data() + 2 * plane_,
        .returns = returns_.data(),
        .growth = prices_.data() + 3 * plane_,
        .price = prices_.data() + 4 * plane_,
        .run = run_.data(),
        .ema = averages_.data(),
        .atr = averages_.data() + plan.ema_count * plane_,
        .raw = raw_.data(),
        .score = score_.data(),
        .factor = factor_.data(),
        .enter = masks,
        .stay = masks + plan.rule_count * rows_,
        .ranked = ranked_.data(),
        .ranked_count = ranked_.data() + plan.order_count * rows_ * swing_items_max,
        .compatible = masks + (2 * plan.rule_count + 1) * rows_,
        .candidates = masks + 2 * plan.rule_count * rows_,
        .flags = flags_.data(),
        .listed = listed_.data(),
        .listed_count = listed_count_.data(),
    };
    // No window that reaches rows before the first one is complete, but its sums are taken.
    std::fill_n(view_.returns, plan.history * plan.stride, std::numeric_limits<double>::quiet_NaN());
  }

  const SwingChunk& view() const { return view_; }
  std::size_t rows() const { return rows_; }

 private:
  std::size_t rows_, plane_, small_, large_;
  Plane<double> prices_, returns_, run_, averages_, raw_, score_, factor_;
  Plane<std::uint32_t> masks_;
  Plane<std::uint8_t> ranked_;
  Plane<std::uint8_t> flags_;
  Plane<std::uint32_t> listed_;
  Plane<std::size_t> listed_count_;
  SwingChunk view_{};
};

class MomentsMemory {
 public:
  explicit MomentsMemory(const SwingPlan& plan)
      : plane_(plan.is_small ? (plan.symbol_count + 1) * plan.stride : 0),
        suffix_(plan.correlation_count * longest(plan) * plane_),
        prefix_(plan.correlation_count * plane_),
        sort_scratch_(plan.stride),
        next_row_(plan.correlation_count, swing_none),
        view_{suffix_.data(), prefix_.data(), longest(plan), next_row_.data(),
              sort_scratch_.data()} {}

  const SwingMoments& view() const { return view_; }
  // Must be called before the rows of other bars.
  void forget() { std::fill(next_row_.begin(), next_row_.end(), swing_none); }

 private:
  static std::size_t longest(const SwingPlan& plan) {
    return *std::max_element(plan.correlation_windows,
                             plan.correlation_windows + plan.correlation_count);
  }

  std::size_t plane_;
  Plane<double> suffix_, prefix_;
  Plane<std::uint32_t> sort_scratch_;
  std::vector<std::size_t> next_row_;
  SwingMoments view_;
};

// Which symbols take part, and which regimes have theirs.
class Existence {
 public:
  // exists is (symbol_count,) or null, which lets all exist.
  Existence(const SwingGrid& grid, const std::uint8_t* exists)
      : exists_(grid.plan().stride, 1), regimes_(grid.regimes().size(), 1) {
    for (std::size_t symbol = 0; exists != nullptr && symbol < grid.plan().symbol_count; ++symbol) {
      exists_[symbol] = exists[symbol] != 0 ? 1 : 0;
      if (exists_[symbol] == 0 && grid.plan().is_small) {
        allowed_ &= ~(1U << symbol);
      }
    }
    for (std::size_t index = 0; index < regimes_.size(); ++index) {
      regimes_[index] = exists_[grid.regimes()[index].column];
    }
  }

  std::uint32_t allowed() const { return allowed_; }
  const std::uint8_t* symbols() const { return exists_.data(); }
  const std::uint8_t* regimes() const { return regimes_.data(); }

 private:
  std::uint32_t allowed_ = ~0U;
  std::vector<std::uint8_t> exists_, regimes_;
};

class TracksMemory {
 public:
  // net_capacity is the longest window for Sharpe, else 0.
  TracksMemory(const SwingPlan& plan, std::vector<std::size_t> points, std::size_t slot_count,
               std::size_t net_capacity);
  TracksMemory(const TracksMemory&) = delete;
  TracksMemory& operator=(const TracksMemory&) = delete;

  SwingTracks& view() { return view_; }
  void begin(const Existence& existence);

 private:
  std::vector<std::size_t> points_;
  std::size_t tracks_, names_, lanes_;
  std::vector<SwingBook> books_;
  std::vector<SwingTarget> targets_;
  std::vector<double> weights_, scratch_, track_values_, nets_, pair_values_;
  std::vector<std::uint32_t> name_lists_;
  std::vector<std::size_t> table_, track_places_, groups_;
  std::vector<std::uint64_t> pair_words_, lane_policies_;
  std::vector<std::uint32_t> lane_facts_, lane_words_;
  std::vector<std::uint8_t> is_free_;
  SwingTracks view_{};
};

}  // namespace walstreet
