// Owns the compiled form of a forest of decision trees, as the kernels read it.
//
// A threshold never meets a value in a tree. Per feature the distinct thresholds are sorted, and a
// value is replaced by its rank, the number of thresholds below it: value <= threshold[j] holds
// exactly when rank <= j. Ranks fit in a byte, because a feature with more thresholds is cut into
// slices. Missing values, zeros and categories become ranks as well, so a tree compares bytes only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace walstreet {

inline constexpr std::size_t forest_slice_thresholds_max = 255;
inline constexpr std::size_t forest_mask_leaves_max = 32;
inline constexpr std::size_t forest_tile_rows_max = 64;
inline constexpr std::size_t forest_plane_count = forest_mask_leaves_max / 8;
// Items are padded to this many per plane, so that the loop over them has few different lengths.
inline constexpr std::size_t forest_item_stride = 4;
inline constexpr std::size_t forest_node_count_max = (std::size_t{1} << 24) - 1;
// LightGBM's kZeroThreshold, 1e-35f: what is at most this far from zero is zero.
inline constexpr double forest_zero_abs_max = 1.0000000180025095e-35;

// How sums become outputs; the numbers are part of the Python interface.
enum ForestTransform : std::int64_t {
  forest_identity,
  forest_signed_square,
  forest_exponential,
  forest_sigmoid,
  forest_softmax,
  forest_transform_count,
};

// A search narrows a rank to a group of four thresholds through at most 63 pivots, every fourth
// threshold rounded to float32. They stand level by level, a node's children at twice its place; place
// 0 is not used.
inline constexpr std::size_t forest_pivot_count = 64;
inline constexpr std::uint32_t forest_group_steps = 2;
struct alignas(32) ForestPivots {
  float value[forest_pivot_count];
};

// Up to 255 ascending thresholds of one feature, padded with infinity to 2^step_count of them.
struct ForestSlice {
  std::uint32_t feature;
  std::uint32_t step_count;  // at least forest_group_steps
  std::uint32_t threshold_begin;
  std::uint32_t column_begin;
  std::uint32_t column_count;
};

// One way in which nodes see a slice: which rank a missing value and a zero take.
struct ForestColumn {
  std::uint8_t missing_rank;
  std::uint8_t zero_rank;
};

// A set of categories as a column of its own: rank 0 if the value is in the set, else 1.
struct ForestSet {
  std::uint32_t feature;
  std::uint32_t word_begin;
  std::uint32_t word_count;
  std::uint32_t column;
};

// If the column's rank is above the node's, these leaves of a plane of eight cannot be the exit.
struct ForestItem {
  std::uint32_t column;
  std::uint32_t rank;     // biased to a signed byte, four times
  std::uint32_t removed;  // one bit per leaf, four times
};

// The same for a single row, one tree's whole mask at once: the leaves that stay possible. Items of a
// column ascend by the node's rank, so the comparisons that fail are the first ones. What the first 32,
// 64, 96... items of a column leave of all trees is kept as checkpoints, so that few items remain to do.
inline constexpr std::size_t forest_checkpoint_items = 32;
struct ForestRowItem {
  std::uint32_t tree;
  std::uint32_t kept;
};

// Where a column's items, counts and checkpoints begin; counts[rank] is how many items a value of that
// rank fails.
struct ForestRowColumn {
  std::uint32_t item_begin;
  std::uint32_t count_begin;
  std::uint32_t checkpoint_begin;  // each is trees_padded words
};

// A node is one word: bits 0-7 its rank, 8-31 its column, 32-63 the left child; the right child
// follows the left one. A leaf compares column 0 with rank 255, hence stays where it is.
using ForestNode = std::uint64_t;
inline constexpr ForestNode forest_leaf_rank = 255;

struct ForestTree {
  std::uint32_t root;
  std::uint32_t depth;
  std::uint32_t item_begin[forest_plane_count + 1];  // into items; the last is the end
};

struct ForestView {
  const ForestSlice* slices;
  const double* thresholds;
  const ForestPivots* pivots;  // one per slice
  const ForestColumn* columns;
  const ForestSet* sets;
  const std::uint32_t* words;
  const ForestTree* trees;  // class by class, in each class in the model's order
  const ForestItem* items;
  const ForestRowItem* row_items;
  const ForestRowColumn* row_columns;  // (class_count, column_count)
  const std::uint32_t* row_counts;
  const std::uint32_t* checkpoints;
  const double* leaf_values;  // with masks: 32 places per tree, leaves from left to right
  const ForestNode* nodes;
  const double* node_values;  // of leaves; same index as nodes
  std::size_t slice_count;
  std::size_t set_count;
  std::size_t column_count;
  std::size_t feature_count;
  std::size_t class_count;
  std::size_t trees_per_class;
  std::size_t trees_padded;  // to a whole number of vectors
  bool has_masks;  // every tree has at most 32 leaves, so items exist
  bool averages;
  ForestTransform transform;
  double sigmoid;
};

struct ForestArguments {
  const ForestView* forest;
  const double* rows;  // (row_count, feature_count)
  std::size_t row_count;
  double* outputs;        // (row_count, class_count)
  std::uint8_t* scratch;  // forest_scratch_bytes of them, aligned to 64
  bool raw;
};

// The ranks of a tile; or of a row, behind which stand the masks of one class's trees.
[[gnu::always_inline]] static inline std::size_t forest_masks_offset(const ForestView& forest) {
  return (forest.column_count + 63) / 64 * 64;
}
[[gnu::always_inline]] static inline std::size_t forest_scratch_bytes(const ForestView& forest) {
  const std::size_t tile = forest.column_count * forest_tile_rows_max;
  const std::size_t row =
      forest_masks_offset(forest) + forest.trees_padded * sizeof(std::uint32_t);
  return tile < row ? row : tile;
}

}  // namespace walstreet
