// Owns the checks of a forest's arrays: after them no index leaves its array and no path runs in circles.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "forest_build.hpp"

namespace walstreet {

namespace {

constexpr std::int64_t decision_max = 11;
constexpr std::int64_t feature_count_max = std::int64_t{1} << 20;
constexpr std::int64_t class_count_max = 4'096;
// Below 2^31, beyond which LightGBM's conversion of a value to a category has no meaning.
constexpr std::int64_t set_word_count_max = std::int64_t{1} << 26;

[[noreturn]] void refuse(const std::string& where, const std::string& problem) {
  throw std::invalid_argument(where + ": " + problem + "; restore the model file from its source");
}

std::string element(const char* name, std::size_t index) {
  return std::string(name) + "[" + std::to_string(index) + "]";
}

void require_range(const char* name, std::span<const std::int64_t> values, std::int64_t lowest,
                   std::int64_t highest) {
  for (std::size_t index = 0; index < values.size(); ++index) {
    if (values[index] < lowest || highest < values[index]) {
      refuse(element(name, index), "value is " + std::to_string(values[index]) +
                                       ", must be from " + std::to_string(lowest) + " to " +
                                       std::to_string(highest));
    }
  }
}

void require_finite(const char* name, std::span<const double> values) {
  for (std::size_t index = 0; index < values.size(); ++index) {
    if (!std::isfinite(values[index])) {
      refuse(element(name, index), "value is not finite");
    }
  }
}

void require_count(const char* name, std::size_t count, std::size_t expected, const char* because) {
  if (count != expected) {
    refuse(name, "has " + std::to_string(count) + " values, must have " +
                     std::to_string(expected) + " to agree with " + because);
  }
}

void require_number(const char* name, std::int64_t value, std::int64_t lowest,
                    std::int64_t highest) {
  require_range(name, {&value, 1}, lowest, highest);
}

void check_scalars(const ForestSource& source) {
  require_number("feature_count", source.feature_count, 1, feature_count_max);
  require_number("class_count", source.class_count, 1, class_count_max);
  require_number("transform", source.transform, 0, forest_transform_count - 1);
  require_finite("sigmoid", {&source.sigmoid, 1});
  if (source.leaf_counts.empty() ||
      source.leaf_counts.size() % static_cast<std::size_t>(source.class_count) != 0) {
    refuse("leaf_counts", "has " + std::to_string(source.leaf_counts.size()) +
                              " trees, must have a positive multiple of the " +
                              std::to_string(source.class_count) + " classes");
  }
}

void check_trees(const ForestSource& source) {
  require_range("leaf_counts", source.leaf_counts, 1, forest_node_count_max);
  std::size_t node_begin = 0;
  std::size_t leaf_begin = 0;
  for (std::size_t number = 0; number < source.leaf_counts.size(); ++number) {
    const auto leaf_count = static_cast<std::size_t>(source.leaf_counts[number]);
    node_begin += leaf_count - 1;
    leaf_begin += leaf_count;
    if (node_begin + leaf_begin > forest_node_count_max) {
      refuse(element("leaf_counts", number),
             "the forest has more than " + std::to_string(forest_node_count_max) +
                 " nodes and leaves");
    }
  }
  require_count("features", source.features.size(), node_begin, "leaf_counts");
  require_count("thresholds", source.thresholds.size(), node_begin, "leaf_counts");
  require_count("decisions", source.decisions.size(), node_begin, "leaf_counts");
  require_count("left", source.left.size(), node_begin, "leaf_counts");
  require_count("right", source.right.size(), node_begin, "leaf_counts");
  require_count("sets", source.sets.size(), node_begin, "leaf_counts");
  require_count("leaf_values", source.leaf_values.size(), leaf_begin, "leaf_counts");
}

void check_nodes(const ForestSource& source) {
  require_range("features", source.features, 0, source.feature_count - 1);
  require_range("decisions", source.decisions, 0, decision_max);
  // A threshold may be infinite: such a node tells missing values from all others.
  for (std::size_t node = 0; node < source.thresholds.size(); ++node) {
    if (std::isnan(source.thresholds[node])) {
      refuse(element("thresholds", node), "value is not a number");
    }
  }
  require_finite("leaf_values", source.leaf_values);
  if (source.set_bounds.empty() || source.set_bounds.front() != 0) {
    refuse("set_bounds", "must begin with 0");
  }
  for (std::size_t index = 1; index < source.set_bounds.size(); ++index) {
    require_number(element("set_bounds", index).c_str(),
                   source.set_bounds[index] - source.set_bounds[index - 1], 0,
                   set_word_count_max);
  }
  require_count("set_words", source.set_words.size(),
                static_cast<std::size_t>(source.set_bounds.back()), "set_bounds");
  require_range("set_words", source.set_words, 0, std::numeric_limits<std::uint32_t>::max());
  const auto set_count = static_cast<std::int64_t>(source.set_bounds.size()) - 1;
  for (std::size_t node = 0; node < source.sets.size(); ++node) {
    if ((source.decisions[node] & forest_categorical_bit) != 0) {
      require_number(element("sets", node).c_str(), source.sets[node], 0, set_count - 1);
    }
  }
}

// Every node but the root, and every leaf, must be the child of exactly one earlier node: then the
// nodes form one tree, and nothing below can run in circles or leave its arrays.
void check_structure(const ForestSource& source, std::size_t number, std::size_t node_begin) {
  const std::int64_t leaf_count = source.leaf_counts[number];
  const std::int64_t node_count = leaf_count - 1;
  std::vector<bool> node_seen(static_cast<std::size_t>(node_count), false);
  std::vector<bool> leaf_seen(static_cast<std::size_t>(leaf_count), false);
  for (std::int64_t node = 0; node < node_count; ++node) {
    const std::size_t place = node_begin + static_cast<std::size_t>(node);
    for (const std::int64_t child : {source.left[place], source.right[place]}) {
      const std::string where =
          "tree " + std::to_string(number) + ", node " + std::to_string(node);
      if (child < -leaf_count || node_count <= child || (0 <= child && child <= node)) {
        refuse(where, "child is " + std::to_string(child) +
                          ", must be a leaf or a later node of the tree");
      }
      const bool seen = child < 0 ? leaf_seen[static_cast<std::size_t>(-child - 1)]
                                  : node_seen[static_cast<std::size_t>(child)];
      if (seen) {
        refuse(where, "child " + std::to_string(child) + " already has another parent");
      }
      if (child < 0) {
        leaf_seen[static_cast<std::size_t>(-child - 1)] = true;
      } else {
        node_seen[static_cast<std::size_t>(child)] = true;
      }
    }
  }
}

}  // namespace

void check_forest(const ForestSource& source) {
  check_scalars(source);
  check_trees(source);
  check_nodes(source);
  std::size_t node_begin = 0;
  for (std::size_t number = 0; number < source.leaf_counts.size(); ++number) {
    check_structure(source, number, node_begin);
    node_begin += static_cast<std::size_t>(source.leaf_counts[number]) - 1;
  }
}

}  // namespace walstreet
