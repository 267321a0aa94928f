// Owns the compilation of a forest: ranks, masks and nodes from arrays that were checked.
#include "forest_build.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

namespace walstreet {

namespace {

constexpr std::size_t mask_padding = 16;
constexpr std::int64_t default_left_bit = 2;
enum Missing : std::int64_t { missing_none = 0, missing_zero = 1, missing_nan = 2 };

// A node as the compiled form needs it: which column, which rank.
struct Comparison {
  std::uint32_t column = 0;
  std::uint8_t rank = 0;
};

struct RowNote {
  std::size_t group;
  std::uint32_t column;
  std::uint8_t rank;
  ForestRowItem item;
};

// One tree's part of the source.
struct TreeSource {
  std::size_t number;
  std::size_t node_begin;
  std::size_t node_count;
  std::size_t leaf_begin;
  std::size_t leaf_count;
};

}  // namespace

class ForestBuilder {
 public:
  ForestBuilder(const ForestSource& source, CompiledForest& forest)
      : source_(source), forest_(forest) {}

  void build() {
    check_forest(source_);
    find_trees();
    build_columns();
    forest_.view_.has_masks =
        source_.may_mask && forest_.leaf_count_max_ <= forest_mask_leaves_max;
    const auto class_count = static_cast<std::size_t>(source_.class_count);
    for (std::size_t group = 0; group < class_count; ++group) {
      for (std::size_t number = group; number < trees_.size(); number += class_count) {
        build_tree(trees_[number]);
      }
    }
    if (forest_.view_.has_masks) {
      join_row_items();
    }
    set_view();
  }

 private:
  void find_trees() {
    std::size_t node_begin = 0;
    std::size_t leaf_begin = 0;
    for (std::size_t number = 0; number < source_.leaf_counts.size(); ++number) {
      const auto leaf_count = static_cast<std::size_t>(source_.leaf_counts[number]);
      trees_.push_back({number, node_begin, leaf_count - 1, leaf_begin, leaf_count});
      node_begin += leaf_count - 1;
      leaf_begin += leaf_count;
      forest_.leaf_count_max_ = std::max(forest_.leaf_count_max_, leaf_count);
    }
  }

  std::size_t trees_per_class() const {
    return trees_.size() / static_cast<std::size_t>(source_.class_count);
  }

  static std::size_t padded(std::size_t count) {
    return (count + mask_padding - 1) / mask_padding * mask_padding;
  }

  bool is_set(std::size_t node) const { return (source_.decisions[node] & forest_categorical_bit) != 0; }

  // Sorts the thresholds of each feature, then gives every node its column and rank.
  void build_columns() {
    comparisons_.resize(source_.features.size());
    std::map<std::int64_t, std::vector<double>> sorted;
    for (std::size_t node = 0; node < comparisons_.size(); ++node) {
      if (!is_set(node)) {
        sorted[source_.features[node]].push_back(source_.thresholds[node]);
      }
    }
    for (auto& [feature, thresholds] : sorted) {
      std::sort(thresholds.begin(), thresholds.end());
      thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
    }
    // Columns of a slice must be neighbours, so nodes are first gathered by slice.
    std::map<std::pair<std::int64_t, std::size_t>, std::vector<std::size_t>> nodes_of_slice;
    for (std::size_t node = 0; node < comparisons_.size(); ++node) {
      if (!is_set(node)) {
        const std::vector<double>& thresholds = sorted[source_.features[node]];
        const auto place = static_cast<std::size_t>(
            std::lower_bound(thresholds.begin(), thresholds.end(), source_.thresholds[node]) -
            thresholds.begin());
        comparisons_[node].rank =
            static_cast<std::uint8_t>(place % forest_slice_thresholds_max);
        nodes_of_slice[{source_.features[node], place / forest_slice_thresholds_max}].push_back(
            node);
      }
    }
    // Slices with equal numbers of steps follow each other, so that the search's loop is predictable.
    std::vector<std::tuple<std::uint32_t, std::int64_t, std::size_t>> order;
    for (const auto& [key, nodes] : nodes_of_slice) {
      const std::size_t rest =
          sorted[key.first].size() - key.second * forest_slice_thresholds_max;
      const std::size_t count = std::min(rest, forest_slice_thresholds_max);
      std::uint32_t steps = forest_group_steps;
      while ((std::size_t{1} << steps) - 1 < count) {
        ++steps;
      }
      order.emplace_back(steps, key.first, key.second);
    }
    std::sort(order.begin(), order.end());
    for (const auto& [steps, feature, part] : order) {
      build_slice(steps, feature, part, sorted[feature], nodes_of_slice[{feature, part}]);
    }
    build_sets();
  }

  void build_slice(std::uint32_t steps, std::int64_t feature, std::size_t part,
                   const std::vector<double>& thresholds, const std::vector<std::size_t>& nodes) {
    const std::size_t begin = part * forest_slice_thresholds_max;
    const std::size_t end = std::min(begin + forest_slice_thresholds_max, thresholds.size());
    ForestSlice slice{
        .feature = static_cast<std::uint32_t>(feature),
        .step_count = steps,
        .threshold_begin = static_cast<std::uint32_t>(forest_.thresholds_.size()),
        .column_begin = static_cast<std::uint32_t>(forest_.columns_.size()),
        .column_count = 0,
    };
    const auto from = thresholds.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto to = thresholds.begin() + static_cast<std::ptrdiff_t>(end);
    const auto always_right = static_cast<std::uint8_t>(end - begin);
    const auto rank_of_zero = static_cast<std::uint8_t>(std::lower_bound(from, to, 0.0) - from);
    forest_.thresholds_.insert(forest_.thresholds_.end(), from, to);
    forest_.thresholds_.resize(slice.threshold_begin + (std::size_t{1} << steps),
                               std::numeric_limits<double>::infinity());
    add_pivots(steps - forest_group_steps,
               std::span<const double>(forest_.thresholds_).subspan(slice.threshold_begin));
    std::map<std::pair<std::uint8_t, std::uint8_t>, std::uint32_t> columns;
    for (const std::size_t node : nodes) {
      const std::int64_t missing = source_.decisions[node] >> 2;
      const bool goes_left = (source_.decisions[node] & default_left_bit) != 0;
      const std::uint8_t by_default = goes_left ? std::uint8_t{0} : always_right;
      const std::uint8_t missing_rank = missing == missing_none ? rank_of_zero : by_default;
      const std::uint8_t zero_rank = missing == missing_zero ? by_default : rank_of_zero;
      const auto next = static_cast<std::uint32_t>(forest_.columns_.size());
      const auto [place, is_new] = columns.try_emplace({missing_rank, zero_rank}, next);
      if (is_new) {
        forest_.columns_.push_back({missing_rank, zero_rank});
        rank_counts_.push_back(end - begin + 1);
      }
      comparisons_[node].column = place->second;
    }
    slice.column_count = static_cast<std::uint32_t>(columns.size());
    forest_.slices_.push_back(slice);
  }

  void add_pivots(std::uint32_t levels, std::span<const double> thresholds) {
    ForestPivots pivots{};
    for (std::uint32_t level = 0; level < levels; ++level) {
      for (std::size_t place = 0; place < std::size_t{1} << level; ++place) {
        const std::size_t ascending = (2 * place + 1) * (std::size_t{1} << (levels - 1 - level)) - 1;
        // Rounded by the processor exactly as the kernel rounds values, to infinity if need be.
        pivots.value[(std::size_t{1} << level) + place] =
            static_cast<float>(thresholds[4 * ascending + 3]);
      }
    }
    forest_.pivots_.push_back(pivots);
  }

  // Equal sets of one feature share a column.
  void build_sets() {
    std::map<std::pair<std::int64_t, std::vector<std::uint32_t>>, std::uint32_t> columns;
    auto next = static_cast<std::uint32_t>(forest_.columns_.size());
    for (std::size_t node = 0; node < comparisons_.size(); ++node) {
      if (!is_set(node)) {
        continue;
      }
      const auto set = static_cast<std::size_t>(source_.sets[node]);
      std::vector<std::uint32_t> words;
      for (std::int64_t word = source_.set_bounds[set]; word < source_.set_bounds[set + 1]; ++word) {
        words.push_back(
            static_cast<std::uint32_t>(source_.set_words[static_cast<std::size_t>(word)]));
      }
      const auto [place, is_new] = columns.try_emplace({source_.features[node], words}, next);
      if (is_new) {
        forest_.sets_.push_back({
            .feature = static_cast<std::uint32_t>(source_.features[node]),
            .word_begin = static_cast<std::uint32_t>(forest_.words_.size()),
            .word_count = static_cast<std::uint32_t>(words.size()),
            .column = next,
        });
        forest_.words_.insert(forest_.words_.end(), words.begin(), words.end());
        rank_counts_.push_back(2);
        ++next;
      }
      comparisons_[node] = {.column = place->second, .rank = 0};
    }
    // A forest of single leaves still reads one column, though no rank in it can matter.
    if (rank_counts_.empty()) {
      rank_counts_.push_back(1);
    }
  }

  void build_tree(const TreeSource& tree) {
    ForestTree compiled{};
    compiled.root = static_cast<std::uint32_t>(forest_.nodes_.size());
    compiled.depth = build_nodes(tree);
    if (forest_.view_.has_masks) {
      build_leaves(tree);
      build_items(tree, compiled);
      build_row_items(tree);
    }
    forest_.trees_.push_back(compiled);
  }

  // Lays the nodes out so that two children are neighbours; returns the longest path's length.
  std::uint32_t build_nodes(const TreeSource& tree) {
    std::vector<std::size_t> place_of_node(tree.node_count);
    std::vector<std::uint32_t> depth_of_node(tree.node_count, 0);
    std::uint32_t depth = 0;
    const auto put_leaf = [&](std::size_t place, std::size_t leaf) {
      forest_.nodes_[place] = std::uint64_t{place} << 32 | forest_leaf_rank;
      forest_.node_values_[place] = source_.leaf_values[tree.leaf_begin + leaf];
    };
    const std::size_t root = forest_.nodes_.size();
    forest_.nodes_.resize(root + tree.node_count + tree.leaf_count);
    forest_.node_values_.resize(forest_.nodes_.size(), 0.0);
    std::size_t next = root + 1;
    if (tree.node_count == 0) {
      put_leaf(root, 0);
    } else {
      place_of_node[0] = root;
    }
    // Parents come before their children, which check_structure has made sure of.
    for (std::size_t node = 0; node < tree.node_count; ++node) {
      const std::size_t source = tree.node_begin + node;
      const Comparison comparison = comparisons_[source];
      forest_.nodes_[place_of_node[node]] =
          std::uint64_t{next} << 32 | std::uint64_t{comparison.column} << 8 | comparison.rank;
      depth = std::max(depth, depth_of_node[node] + 1);
      for (const std::int64_t child : {source_.left[source], source_.right[source]}) {
        if (child < 0) {
          put_leaf(next, static_cast<std::size_t>(-child - 1));
        } else {
          place_of_node[static_cast<std::size_t>(child)] = next;
          depth_of_node[static_cast<std::size_t>(child)] = depth_of_node[node] + 1;
        }
        ++next;
      }
    }
    return depth;
  }

  // Numbers the leaves from left to right and notes which of them stand below each node's left child.
  void build_leaves(const TreeSource& tree) {
    leaf_span_.assign(tree.node_count, {});
    const std::size_t leaf_begin = forest_.trees_.size() * forest_mask_leaves_max;
    forest_.leaf_values_.resize(leaf_begin + forest_mask_leaves_max, 0.0);
    std::vector<std::pair<std::int64_t, bool>> stack;
    std::size_t leaf_number = 0;
    stack.emplace_back(tree.node_count == 0 ? -1 : 0, false);
    while (!stack.empty()) {
      const auto [child, left_is_done] = stack.back();
      stack.pop_back();
      if (child < 0) {
        const auto leaf = static_cast<std::size_t>(-child - 1);
        forest_.leaf_values_[leaf_begin + leaf_number] =
            source_.leaf_values[tree.leaf_begin + leaf];
        ++leaf_number;
        continue;
      }
      const auto node = static_cast<std::size_t>(child);
      if (left_is_done) {
        leaf_span_[node].second = leaf_number;
        stack.emplace_back(source_.right[tree.node_begin + node], false);
      } else {
        leaf_span_[node].first = leaf_number;
        stack.emplace_back(child, true);
        stack.emplace_back(source_.left[tree.node_begin + node], false);
      }
    }
  }

  void build_items(const TreeSource& tree, ForestTree& compiled) {
    constexpr std::uint32_t four_bytes = 0x01010101;
    constexpr std::uint32_t bias = 0x80;
    for (std::size_t plane = 0; plane < forest_plane_count; ++plane) {
      compiled.item_begin[plane] = static_cast<std::uint32_t>(forest_.items_.size());
      for (std::size_t node = 0; node < tree.node_count; ++node) {
        std::uint32_t removed = 0;
        for (std::size_t leaf = leaf_span_[node].first; leaf < leaf_span_[node].second; ++leaf) {
          removed |= leaf / 8 == plane ? 1U << leaf % 8 : 0U;
        }
        if (removed != 0) {
          const Comparison comparison = comparisons_[tree.node_begin + node];
          forest_.items_.push_back({
              .column = comparison.column,
              .rank = (comparison.rank ^ bias) * four_bytes,
              .removed = removed * four_bytes,
          });
        }
      }
      while ((forest_.items_.size() - compiled.item_begin[plane]) % forest_item_stride != 0) {
        forest_.items_.push_back({.column = 0, .rank = 0, .removed = 0});
      }
    }
    compiled.item_begin[forest_plane_count] = static_cast<std::uint32_t>(forest_.items_.size());
  }

  // Notes each node under its class, column and rank; join_row_items sorts and lays them out.
  void build_row_items(const TreeSource& tree) {
    const std::size_t number = forest_.trees_.size();
    for (std::size_t node = 0; node < tree.node_count; ++node) {
      const Comparison comparison = comparisons_[tree.node_begin + node];
      std::uint32_t kept = ~std::uint32_t{0};
      for (std::size_t leaf = leaf_span_[node].first; leaf < leaf_span_[node].second; ++leaf) {
        kept &= ~(std::uint32_t{1} << leaf);
      }
      row_notes_.push_back({
          .group = number / trees_per_class(),
          .column = comparison.column,
          .rank = comparison.rank,
          .item = {.tree = static_cast<std::uint32_t>(number % trees_per_class()), .kept = kept},
      });
    }
  }

  void join_row_items() {
    std::stable_sort(row_notes_.begin(), row_notes_.end(), [](const auto& left, const auto& right) {
      return std::tie(left.group, left.column, left.rank) <
             std::tie(right.group, right.column, right.rank);
    });
    const std::size_t trees_padded = padded(trees_per_class());
    std::size_t next = 0;
    for (std::size_t group = 0; group < static_cast<std::size_t>(source_.class_count); ++group) {
      for (std::size_t column = 0; column < rank_counts_.size(); ++column) {
        const std::size_t begin = next;
        std::vector<std::uint32_t> masks(trees_padded, ~std::uint32_t{0});
        forest_.row_columns_.push_back({
            .item_begin = static_cast<std::uint32_t>(begin),
            .count_begin = static_cast<std::uint32_t>(forest_.row_counts_.size()),
            .checkpoint_begin = static_cast<std::uint32_t>(forest_.checkpoints_.size()),
        });
        for (std::size_t rank = 0; rank < rank_counts_[column]; ++rank) {
          forest_.row_counts_.push_back(static_cast<std::uint32_t>(next - begin));
          for (; next < row_notes_.size() && row_notes_[next].group == group &&
                 row_notes_[next].column == column && row_notes_[next].rank == rank;
               ++next) {
            const ForestRowItem& item = row_notes_[next].item;
            forest_.row_items_.push_back(item);
            masks[item.tree] &= item.kept;
            if ((next - begin) % forest_checkpoint_items == forest_checkpoint_items - 1) {
              forest_.checkpoints_.insert(forest_.checkpoints_.end(), masks.begin(), masks.end());
            }
          }
        }
      }
    }
  }

  void set_view() {
    ForestView& view = forest_.view_;
    view.pivots = forest_.pivots_.data();
    view.row_items = forest_.row_items_.data();
    view.row_columns = forest_.row_columns_.data();
    view.row_counts = forest_.row_counts_.data();
    view.checkpoints = forest_.checkpoints_.data();
    view.slices = forest_.slices_.data();
    view.thresholds = forest_.thresholds_.data();
    view.columns = forest_.columns_.data();
    view.sets = forest_.sets_.data();
    view.words = forest_.words_.data();
    view.trees = forest_.trees_.data();
    view.items = forest_.items_.data();
    view.leaf_values = forest_.leaf_values_.data();
    view.nodes = forest_.nodes_.data();
    view.node_values = forest_.node_values_.data();
    view.slice_count = forest_.slices_.size();
    view.set_count = forest_.sets_.size();
    view.column_count = rank_counts_.size();
    view.feature_count = static_cast<std::size_t>(source_.feature_count);
    view.class_count = static_cast<std::size_t>(source_.class_count);
    view.trees_per_class = trees_per_class();
    view.trees_padded = padded(view.trees_per_class);
    view.averages = source_.averages;
    view.transform = static_cast<ForestTransform>(source_.transform);
    view.sigmoid = source_.sigmoid;
  }

  const ForestSource& source_;
  CompiledForest& forest_;
  std::vector<TreeSource> trees_;
  std::vector<Comparison> comparisons_;
  std::vector<std::pair<std::size_t, std::size_t>> leaf_span_;
  std::vector<RowNote> row_notes_;
  std::vector<std::size_t> rank_counts_;  // per column: how many ranks a value may take
};

CompiledForest::CompiledForest(const ForestSource& source) { ForestBuilder(source, *this).build(); }

}  // namespace walstreet
