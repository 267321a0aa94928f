// Owns the table of the rotation's kernels, which every instruction-set level fills, with their arguments.
//
// The conventions stand in walstreet/research/swing_types.py; the NumPy engine there is the oracle, to the bit.
// Bars stream through chunks of days: symbols advance first, then days are prepared for all grid points at once,
// then tracks turn the days. Pointers are already checked (swing_bindings.cpp); kernels neither allocate nor fail.
#pragma once

#include <cstddef>
#include <cstdint>

namespace walstreet {

inline constexpr std::size_t swing_quad = 4;
// Masks of symbols are 32 bits wide up to here. Beyond it candidates are lists and correlations are computed when they
// are asked for. A symbol may be ranked twice, as a new name and as a held one.
inline constexpr std::size_t swing_small_symbols_max = 32;
inline constexpr std::size_t swing_items_max = 2 * swing_small_symbols_max;
// Up to here masks fit 16 bits, so that a register holds twice as many tracks and a mask indexes a table.
inline constexpr std::size_t swing_tiny_symbols_max = 16;
inline constexpr std::size_t swing_lanes_16 = 16;
inline constexpr std::uint32_t swing_no_track = static_cast<std::uint32_t>(-1);
inline constexpr std::size_t swing_caps_together = 3;
// Marks a held name in a ranking.
inline constexpr std::uint8_t swing_kept_flag = 0x80;
static_assert(swing_small_symbols_max <= swing_kept_flag);
inline constexpr std::size_t swing_window_max = 2'000;
// Correlations are first taken from sums that slide. With at most 2,000 rows and a variance of at least a quarter of
// the raw square they are wrong by less than 32 * 2000 * 2^-53 < 1e-11, so that only within this margin of the cap
// the two passes of the conventions must decide.
inline constexpr double swing_correlation_margin = 1e-9;
// Share of equity below which a move is no order: a last digit.
inline constexpr double swing_dust = 1e-12;
inline constexpr double swing_variance_share_min = 0.25;
inline constexpr double swing_variance_min = 1e-200;
static_assert(32.0 * static_cast<double>(swing_window_max) / 9007199254740992.0 < swing_correlation_margin / 100.0);

inline constexpr double swing_atr_share_min = 1e-6;
inline constexpr double swing_volatility_min = 1e-9;

enum class SwingObjective : int { calmar = 0, cagr = 1, sharpe = 2 };

struct SwingScore {
  std::size_t ema;
  std::size_t atr;
};

// What a name needs to be ranked: all of it but the book, the cap and the number of names.
struct SwingRule {
  std::size_t score;
  std::size_t slow;
  std::size_t line;  // line_count if MACD is not asked for
  std::size_t correlation;
  std::size_t volatility;
  std::size_t order;
  double score_min;
  double floor;
  bool keeps;
};

// One ranking: scores, and scores with the bonus of held names.
struct SwingOrder {
  std::size_t score;
  double bonus;
  bool keeps;
};

struct SwingCap {
  std::size_t correlation;
  double cap;
  bool is_signed;
};

struct SwingLine {
  std::size_t fast;
  std::size_t slow;
};

struct SwingPolicy {
  std::size_t volatility;
  std::size_t weights;  // equal for policies with the same targets
  std::size_t regime;   // regime_count without an overlay
  double weight_max;
  double budget;
  double band;
  double commission_per_share;
  double commission_minimum_usd;
  double equity_start_usd;
  double slippage;
  bool clips;
  bool settles_later;
};

struct SwingPoint {
  std::size_t rule;
  std::size_t cap;
  std::size_t policy;
  std::size_t name_count_max;
};

// The distinct parts of a grid; every index above points into one of these.
struct SwingPlan {
  std::size_t symbol_count;
  std::size_t stride;  // symbols in whole quads
  std::size_t history;  // rows kept before a chunk
  std::size_t names;    // largest book
  bool is_small;
  const double* ema_windows;
  std::size_t ema_count;
  const double* atr_windows;
  std::size_t atr_count;
  const std::size_t* volatility_windows;
  std::size_t volatility_count;
  const std::size_t* correlation_windows;
  std::size_t correlation_count;
  const SwingLine* lines;
  std::size_t line_count;
  const SwingScore* scores;
  std::size_t score_count;
  const SwingRule* rules;
  std::size_t rule_count;
  const SwingOrder* orders;
  std::size_t order_count;
  const SwingCap* caps;
  std::size_t cap_count;
  const SwingPolicy* policies;
  std::size_t policy_count;
  std::size_t regime_count;
  const SwingPoint* points;
  std::size_t point_count;
};

// What symbols remember from row to row, (stride,) each.
struct SwingState {
  double* bar_count;
  double* last;      // newest close; NaN before the first bar
  double* previous;  // close of the row before; NaN without a bar
  double* run;       // known returns in a row
  double* ema_level;  // (ema_count, stride)
  double* atr_total;  // (atr_count, stride)
  double* atr_level;
};

// A chunk of days, rows of the stride each. Row i of the returns lies at history + i.
struct SwingChunk {
  std::size_t capacity;  // rows
  double* high;          // (capacity, stride), like the next ones
  double* low;
  double* close;
  double* returns;  // (history + capacity, stride), between rows; NaN where unknown
  double* growth;   // since the symbol's bar before; 0 without one
  double* price;
  double* run;
  double* ema;     // (ema_count, capacity, stride)
  double* atr;     // (atr_count, capacity, stride)
  double* raw;     // (volatility_count, capacity, stride), inverse volatility; NaN where unknown
  double* score;   // (score_count, capacity, stride)
  double* factor;  // (regime_count, capacity)
  // Small universes: masks of symbols.
  std::uint32_t* enter;       // (capacity, rule_count)
  std::uint32_t* stay;        // (capacity, rule_count)
  std::uint8_t* ranked;       // (order_count, capacity, items): symbols by rank, held ones flagged
  std::uint8_t* ranked_count;  // (order_count, capacity)
  std::uint32_t* compatible;  // (cap_count, capacity, stride)
  std::uint32_t* candidates;  // (capacity,): symbols that some rule lets enter or stay
  // Large universes: flags, 1 may enter, 2 may stay, and candidates by score.
  std::uint8_t* flags;       // (rule_count, capacity, stride)
  std::uint32_t* listed;     // (score_count, capacity, stride)
  std::size_t* listed_count;  // (score_count, capacity)
};

// Days [first, end) of the chunk, symbols [symbol_first, symbol_end) in whole quads.
struct SwingAdvance {
  const SwingPlan* plan;
  const SwingState* state;
  const SwingChunk* chunk;
  std::size_t day_count;
  std::size_t symbol_first;
  std::size_t symbol_end;
};

// One thread's sums of the products of the block before, from each row to its end, and of this one.
struct SwingMoments {
  double* suffix;  // (correlation_count, longest window, symbol_count + 1, stride)
  double* prefix;  // (correlation_count, symbol_count + 1, stride)
  std::size_t window_max;
  std::size_t* next_row;  // (correlation_count,): the row that the sums are ready for, swing_none for none
  std::uint32_t* sort_scratch;  // (stride,)
};

struct SwingPrepare {
  const SwingPlan* plan;
  const SwingChunk* chunk;
  const SwingMoments* moments;
  std::size_t row_of_chunk;  // row of the chunk's first day, which fixes the blocks
  std::size_t day_first;
  std::size_t day_end;
};

struct SwingBook {
  std::size_t name_count;
  std::uint32_t mask;  // small: of the names
  double gross;
  bool is_short_of_cash;
  // The outcome that was computed last for this book today: of which target and policy, swing_no_outcome if of none.
  std::uint64_t outcome_key;
  std::size_t outcome_next;
  std::uint32_t outcome_mask;  // small: of the names of the book that is next
  double outcome_net;
  std::size_t next;  // this book's place tomorrow
};

struct SwingTarget {
  std::uint64_t key;
  std::size_t weights;
  std::size_t name_count;
  std::size_t slot;  // its place in the table
  std::size_t next;  // the book that holds it tomorrow
};

struct SwingTrade {
  double turnover;
  double cost;
};

inline constexpr std::size_t swing_none = static_cast<std::size_t>(-1);
inline constexpr std::uint64_t swing_no_outcome = static_cast<std::uint64_t>(-1);

// Books and targets of one thread. Weights and names lie in rows of plan.names.
struct SwingTracks {
  const std::size_t* points;  // (point_count,) of this thread
  std::size_t point_count;
  std::size_t slot_count;  // windows that run at the same time
  std::uint32_t allowed;   // small: symbols that exist for these windows
  const std::uint8_t* exists;  // (stride,) large: the same
  const std::uint8_t* regime_exists;  // (regime_count,): without the regime's symbol there is no overlay
  std::size_t book_capacity;
  SwingBook* books[2];
  double* book_weights[2];
  std::uint32_t* book_names[2];
  std::size_t book_count;
  std::size_t next_count;
  std::size_t side;  // which of the two is today's
  SwingTarget* targets;
  double* target_weights;
  std::uint32_t* target_names;
  std::size_t target_count;
  std::size_t* target_table;  // (table_size,) a power of two
  std::size_t table_size;
  bool is_direct;          // a mask is its own place in the table
  std::uint64_t day_stamp;
  // Small: what decides of every track, in lanes of one register and grouped by ranking. Words have 16 or 32 bits.
  std::size_t* group_first;   // (order_count + 1,) lanes
  std::uint32_t* lane_track;   // (lane_capacity,), swing_no_track where a register is filled up
  std::uint32_t* lane_rule;    // (lane_capacity,)
  std::uint64_t* lane_policy;  // (lane_capacity,), in the upper half
  void* lane_held;            // (lane_capacity,) words, like the next ones
  void* lane_enter;
  void* lane_stay;
  void* lane_room;
  void* lane_chosen;
  void* lane_caps;            // (cap_count, lane_capacity) words, all ones where the lane has the cap
  std::size_t lane_capacity;
  std::uint32_t* lane_list;  // (lane_count,): the lanes that are tracks
  std::size_t lane_count;
  bool has_new_lanes;         // tracks came, went or merged since the lanes were laid out
  // Tracks: slot by point.
  std::size_t* book_of;   // (slot_count, point_count)
  std::size_t* leader;    // slot whose track this one follows
  double* net;
  double* equity;
  double* peak;
  double* fall;
  std::size_t* leader_count;  // (point_count,)
  std::size_t* leaders;       // (point_count, slot_count)
  double* row_net;            // (point_count,)
  double* nets;               // (slot_count, point_count, net_capacity) for Sharpe, else null
  std::size_t net_capacity;
  // Scratch: (2 * names,) each, and large universes' pairs.
  double* union_have;
  double* union_want;
  std::uint32_t* union_names;
  double* union_move;
  double* raw;
  double* kept_key;
  std::uint32_t* kept_name;
  std::uint32_t* chosen;
  std::uint8_t* is_free;
  std::uint64_t* pair_keys;  // (pair_table_size,), of the day beside it
  double* pair_values;
  std::uint64_t* pair_days;
  std::size_t pair_table_size;
};

struct SwingWindow {
  std::size_t first;
  std::size_t last;
  std::size_t slot;
};

struct SwingRun {
  const SwingPlan* plan;
  const SwingChunk* chunk;
  SwingTracks* tracks;
  std::size_t row_of_chunk;
  std::size_t day_count;
  SwingObjective objective;
  const SwingWindow* windows;  // by first row
  std::size_t window_count;
  std::size_t* window_next;    // the first that has not begun
  std::size_t* active;         // (slot_count,) windows that run, swing_none where none does
  // Per window and point: end equity and largest fall, or the Sharpe ratio and 0.
  double* ends;   // (window_count, plan.point_count)
  double* falls;
};

// One track with everything written down; the book is carried from segment to segment.
struct SwingRecord {
  const SwingPlan* plan;
  const SwingChunk* chunk;
  SwingTracks* tracks;
  std::size_t point;
  std::size_t row_of_chunk;
  std::size_t day_first;
  std::size_t day_end;
  std::size_t output_first;
  double* equity_now;
  double* gross;
  double* turnover;
  double* cost;
  double* net;
  double* equity;
  std::uint8_t* traded;
  double* target;  // (days, symbol_count)
  double* held;
};

struct SwingRebuild {
  const double* ratios;  // (4, row_count, stride): gap, high, low, close
  const std::int64_t* order;
  std::size_t row_count;
  std::size_t stride;
  double* last;  // (stride,) closes before the first row, moved on
  double* high;  // (rows, stride) like the next two
  double* low;
  double* close;
  std::size_t first;
  std::size_t count;
};

struct SwingKernels {
  void (*advance)(const SwingAdvance& arguments);
  void (*prepare)(const SwingPrepare& arguments);
  void (*run)(const SwingRun& arguments);
  void (*record)(const SwingRecord& arguments);
  void (*rebuild)(const SwingRebuild& arguments);
};

namespace baseline {
extern const SwingKernels swing_kernels;
}
namespace avx2 {
extern const SwingKernels swing_kernels;
}
namespace avx512 {
extern const SwingKernels swing_kernels;
}

}  // namespace walstreet
