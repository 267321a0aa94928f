// Owns the way from a model's trees, as they stand in its file, to the compiled form of forest.hpp.
// It runs once per model, is the same code at every level, and may allocate.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "forest.hpp"

namespace walstreet {

// The model's arrays, tree after tree; a tree of n leaves has n - 1 nodes. Children from 0 are nodes
// of the same tree, children below 0 are leaves, -1 being leaf 0.
struct ForestSource {
  std::int64_t feature_count;
  std::int64_t class_count;  // tree t adds to class t % class_count
  std::int64_t transform;
  bool averages;
  bool may_mask;  // false forces the walk, for tests and measurements
  double sigmoid;
  std::span<const std::int64_t> leaf_counts;
  std::span<const std::int64_t> features;
  std::span<const double> thresholds;
  std::span<const std::int64_t> decisions;  // LightGBM's decision_type
  std::span<const std::int64_t> left;
  std::span<const std::int64_t> right;
  std::span<const std::int64_t> sets;        // of categorical nodes: index into set_bounds
  std::span<const std::int64_t> set_bounds;  // (sets + 1,) into set_words
  std::span<const std::int64_t> set_words;   // 32 categories each
  std::span<const double> leaf_values;
};

inline constexpr std::int64_t forest_categorical_bit = 1;  // of a decision

// Throws std::invalid_argument that names the array, the place and the value.
void check_forest(const ForestSource& source);

// The arrays behind a view. It is neither copied nor moved, because the view points into it.
class CompiledForest {
 public:
  // Throws what check_forest throws.
  explicit CompiledForest(const ForestSource& source);
  CompiledForest(const CompiledForest&) = delete;
  CompiledForest& operator=(const CompiledForest&) = delete;

  const ForestView& view() const { return view_; }
  std::size_t tree_count() const { return trees_.size(); }
  std::size_t leaf_count_max() const { return leaf_count_max_; }
  std::size_t scratch_bytes() const { return forest_scratch_bytes(view_); }

 private:
  friend class ForestBuilder;

  ForestView view_{};
  std::vector<ForestSlice> slices_;
  std::vector<double> thresholds_;
  std::vector<ForestPivots> pivots_;
  std::vector<ForestColumn> columns_;
  std::vector<ForestSet> sets_;
  std::vector<std::uint32_t> words_;
  std::vector<ForestTree> trees_;
  std::vector<ForestItem> items_;
  std::vector<ForestRowItem> row_items_;
  std::vector<ForestRowColumn> row_columns_;
  std::vector<std::uint32_t> row_counts_;
  std::vector<std::uint32_t> checkpoints_;
  std::vector<double> leaf_values_;
  std::vector<ForestNode> nodes_;
  std::vector<double> node_values_;
  std::size_t leaf_count_max_ = 0;
};

}  // namespace walstreet
