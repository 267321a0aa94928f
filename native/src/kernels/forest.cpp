// Owns the prediction of a forest: rows to ranks, ranks to leaves, leaves to sums in the model's order.
//
// Many rows and trees of at most 32 leaves take masks (Lucchese et al. 2015, "QuickScorer"; as lanes,
// Lucchese et al. 2016): every node whose comparison fails removes the leaves of its left subtree, and
// the first leaf that is left is the exit. A mask is kept as four planes of eight leaves, so that a
// comparison of bytes and its mask have the same lanes, and a node touches few planes.
// A few rows take masks too, tree by tree as one word. Larger trees are walked from node to node, eight
// trees or eight rows at a time to hide the latency.
//
// Every row's sum is taken in the order of the trees, so neither the path nor the level changes a bit.
#include "forest.hpp"

#include "forest_ranks.hpp"
#include "kernels_level.hpp"
#include "portable_math.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

constexpr std::size_t walk_lane_count = 8;
// A walk asks this often whether every lane has arrived.
constexpr std::size_t walk_steps = 2;
// Fewer rows than this are walked: a tile costs the same whether its lanes are used or not.
constexpr std::size_t tile_rows_min = 8;
// Trees whose masks are found before their leaves are added up.
constexpr std::size_t block_tree_count = 8;

template <std::size_t vector_count>
WALSTREET_INLINE void find_plane(const ForestItem* item, const ForestItem* end,
                                 const std::uint8_t* ranks, ByteLanes (&alive)[vector_count]) {
  constexpr std::size_t row_count = vector_count * sizeof(ByteLanes);
  for (std::size_t index = 0; index < vector_count; ++index) {
    alive[index] = ~ByteLanes{};
  }
  for (; item != end; item += forest_item_stride) {
    WALSTREET_UNROLL for (std::size_t offset = 0; offset < forest_item_stride; ++offset) {
      const ByteLanes node_rank = repeat_word(item[offset].rank);
      const ByteLanes removed = repeat_word(item[offset].removed);
      const std::uint8_t* column = ranks + std::size_t{item[offset].column} * row_count;
      for (std::size_t index = 0; index < vector_count; ++index) {
        const ByteLanes rank = load_bytes(column + index * sizeof(ByteLanes));
        alive[index] &= ~((ByteLanes)(rank > node_rank) & removed);
      }
    }
  }
}

// Turns four planes of bytes into one word per row. Rows are permuted as the machine's interleaving
// within 16 bytes permutes them; word_of_row is the inverse.
WALSTREET_INLINE void store_words(const ByteLanes& first, const ByteLanes& second,
                                  const ByteLanes& third, const ByteLanes& fourth,
                                  std::uint32_t* words) {
  const PairLanes low_front = (PairLanes)interleave_low(first, second);
  const PairLanes low_back = (PairLanes)interleave_low(third, fourth);
  const PairLanes high_front = (PairLanes)interleave_high(first, second);
  const PairLanes high_back = (PairLanes)interleave_high(third, fourth);
  store_bytes(words, (ByteLanes)interleave_low(low_front, low_back));
  store_bytes(words + 1 * word_lane_count, (ByteLanes)interleave_high(low_front, low_back));
  store_bytes(words + 2 * word_lane_count, (ByteLanes)interleave_low(high_front, high_back));
  store_bytes(words + 3 * word_lane_count, (ByteLanes)interleave_high(high_front, high_back));
}

WALSTREET_INLINE std::size_t word_of_row(std::size_t row) {
  const std::size_t vector = row / sizeof(ByteLanes);
  const std::size_t lane = row % sizeof(ByteLanes);
  return vector * sizeof(ByteLanes) + lane % 16 / 4 * word_lane_count + lane / 16 * 4 + lane % 4;
}

template <std::size_t vector_count>
WALSTREET_INLINE void find_leaves(const ForestView& forest, const ForestTree& tree,
                                  const std::uint8_t* ranks, std::uint32_t* words) {
  ByteLanes plane[forest_plane_count][vector_count];
  for (std::size_t number = 0; number < forest_plane_count; ++number) {
    find_plane<vector_count>(forest.items + tree.item_begin[number],
                             forest.items + tree.item_begin[number + 1], ranks, plane[number]);
  }
  for (std::size_t index = 0; index < vector_count; ++index) {
    store_words(plane[0][index], plane[1][index], plane[2][index], plane[3][index],
                words + index * sizeof(ByteLanes));
  }
}

WALSTREET_INLINE const double* leaves_of_tree(const ForestView& forest, std::size_t tree) {
  return forest.leaf_values + tree * forest_mask_leaves_max;
}

// Adds the leaves of tree_count trees to each row's sum, one tree after the other.
template <std::size_t row_count>
WALSTREET_INLINE void add_leaves(const double* values, std::size_t tree_count,
                                 const std::uint32_t (*words)[row_count], double* sums) {
  if (tree_count == block_tree_count) {
    const double* leaves[block_tree_count];
    for (std::size_t tree = 0; tree < block_tree_count; ++tree) {
      leaves[tree] = values + tree * forest_mask_leaves_max;
    }
    for (std::size_t row = 0; row < row_count; ++row) {
      double sum = sums[row];
      for (std::size_t tree = 0; tree < block_tree_count; ++tree) {
        sum += leaves[tree][__builtin_ctz(words[tree][row])];
      }
      sums[row] = sum;
    }
    return;
  }
  for (std::size_t tree = 0; tree < tree_count; ++tree) {
    const double* leaves = values + tree * forest_mask_leaves_max;
    for (std::size_t row = 0; row < row_count; ++row) {
      sums[row] += leaves[__builtin_ctz(words[tree][row])];
    }
  }
}

template <std::size_t vector_count>
void sum_tile(const ForestArguments& arguments, std::size_t first_row, std::size_t count) {
  constexpr std::size_t row_count = vector_count * sizeof(ByteLanes);
  const ForestView& forest = *arguments.forest;
  rank_tile<row_count>(forest, arguments.rows + first_row * forest.feature_count, count,
                       arguments.scratch);
  alignas(64) std::uint32_t words[block_tree_count][row_count];
  for (std::size_t group = 0; group < forest.class_count; ++group) {
    const std::size_t first_tree = group * forest.trees_per_class;
    double sums[row_count] = {};
    for (std::size_t begin = 0; begin < forest.trees_per_class; begin += block_tree_count) {
      const std::size_t rest = forest.trees_per_class - begin;
      const std::size_t tree_count = rest < block_tree_count ? rest : block_tree_count;
      for (std::size_t tree = 0; tree < tree_count; ++tree) {
        find_leaves<vector_count>(forest, forest.trees[first_tree + begin + tree],
                                  arguments.scratch, words[tree]);
      }
      add_leaves<row_count>(leaves_of_tree(forest, first_tree + begin), tree_count, words, sums);
    }
    for (std::size_t row = 0; row < count; ++row) {
      arguments.outputs[(first_row + row) * forest.class_count + group] = sums[word_of_row(row)];
    }
  }
}

WALSTREET_INLINE std::size_t next_node(ForestNode node, const std::uint8_t* ranks) {
  const std::size_t column = static_cast<std::uint32_t>(node) >> 8;
  const std::size_t left = node >> 32;
  return left + (ranks[column] > static_cast<std::uint8_t>(node));
}

// Takes every lane from its node to its leaf; ranks_of(lane) are the ranks of the lane's row.
template <typename RanksOf>
WALSTREET_INLINE void walk(const ForestNode* nodes, std::size_t depth,
                           std::size_t (&place)[walk_lane_count], const RanksOf& ranks_of) {
  for (std::size_t step = 0; step < depth; step += walk_steps) {
    std::size_t moved = 0;
    for (std::size_t turn = 0; turn < walk_steps; ++turn) {
      moved = 0;
      WALSTREET_UNROLL_EIGHT for (std::size_t lane = 0; lane < walk_lane_count; ++lane) {
        const std::size_t next = next_node(nodes[place[lane]], ranks_of(lane));
        moved |= next ^ place[lane];
        place[lane] = next;
      }
    }
    if (moved == 0) {
      break;
    }
  }
}

WALSTREET_INLINE void keep(std::uint32_t* __restrict masks, const std::uint32_t* __restrict kept,
                           std::size_t count) {
  for (std::size_t tree = 0; tree < count; ++tree) {
    masks[tree] &= kept[tree];
  }
}

// One row by masks, column by column: the value's rank tells how many of the column's comparisons
// fail, so the loop over them compares nothing.
void sum_row_by_masks(const ForestArguments& arguments, std::size_t row) {
  const ForestView& forest = *arguments.forest;
  const std::uint8_t* ranks = arguments.scratch;
  auto* masks = reinterpret_cast<std::uint32_t*>(arguments.scratch + forest_masks_offset(forest));
  rank_row(forest, arguments.rows + row * forest.feature_count, arguments.scratch);
  for (std::size_t group = 0; group < forest.class_count; ++group) {
    for (std::size_t tree = 0; tree < forest.trees_padded; ++tree) {
      masks[tree] = ~std::uint32_t{0};
    }
    const ForestRowColumn* columns = forest.row_columns + group * forest.column_count;
    for (std::size_t number = 0; number < forest.column_count; ++number) {
      const ForestRowColumn& column = columns[number];
      const std::size_t count = forest.row_counts[column.count_begin + ranks[number]];
      const std::size_t skipped = count / forest_checkpoint_items;
      if (skipped > 0) {
        keep(masks,
             forest.checkpoints + column.checkpoint_begin + (skipped - 1) * forest.trees_padded,
             forest.trees_padded);
      }
      const ForestRowItem* items = forest.row_items + column.item_begin;
      for (std::size_t item = skipped * forest_checkpoint_items; item < count; ++item) {
        masks[items[item].tree] &= items[item].kept;
      }
    }
    const double* leaves = leaves_of_tree(forest, group * forest.trees_per_class);
    double sum = 0.0;
    for (std::size_t tree = 0; tree < forest.trees_per_class; ++tree) {
      sum += leaves[tree * forest_mask_leaves_max +
                    static_cast<std::size_t>(__builtin_ctz(masks[tree]))];
    }
    arguments.outputs[row * forest.class_count + group] = sum;
  }
}

// One row by walking: eight trees are under way at a time.
void sum_row_by_walking(const ForestArguments& arguments, std::size_t row) {
  const ForestView& forest = *arguments.forest;
  std::uint8_t* ranks = arguments.scratch;
  rank_row(forest, arguments.rows + row * forest.feature_count, ranks);
  const auto ranks_of = [&] [[gnu::always_inline]] (std::size_t) { return ranks; };
  for (std::size_t group = 0; group < forest.class_count; ++group) {
    const ForestTree* trees = forest.trees + group * forest.trees_per_class;
    double sum = 0.0;
    for (std::size_t begin = 0; begin < forest.trees_per_class; begin += walk_lane_count) {
      const std::size_t rest = forest.trees_per_class - begin;
      const std::size_t count = rest < walk_lane_count ? rest : walk_lane_count;
      std::size_t place[walk_lane_count];
      std::size_t depth = 0;
      for (std::size_t lane = 0; lane < walk_lane_count; ++lane) {
        // Lanes beyond the last tree walk it once more; their leaves are not added.
        const ForestTree& tree = trees[begin + (lane < count ? lane : count - 1)];
        place[lane] = tree.root;
        depth = depth < tree.depth ? tree.depth : depth;
      }
      walk(forest.nodes, depth, place, ranks_of);
      for (std::size_t lane = 0; lane < count; ++lane) {
        sum += forest.node_values[place[lane]];
      }
    }
    arguments.outputs[row * forest.class_count + group] = sum;
  }
}

// Many rows and large trees: eight rows are under way in one tree, whose nodes stay in the cache.
void sum_block(const ForestArguments& arguments, std::size_t first_row, std::size_t count) {
  const ForestView& forest = *arguments.forest;
  for (std::size_t row = 0; row < count; ++row) {
    rank_row(forest, arguments.rows + (first_row + row) * forest.feature_count,
             arguments.scratch + row * forest.column_count);
  }
  for (std::size_t group = 0; group < forest.class_count; ++group) {
    const ForestTree* trees = forest.trees + group * forest.trees_per_class;
    double sums[forest_tile_rows_max] = {};
    for (std::size_t tree = 0; tree < forest.trees_per_class; ++tree) {
      for (std::size_t begin = 0; begin < count; begin += walk_lane_count) {
        const std::size_t last = count - 1;
        const auto row_of = [&] [[gnu::always_inline]] (std::size_t lane) {
          return begin + lane < last ? begin + lane : last;
        };
        const std::uint8_t* ranks[walk_lane_count];
        std::size_t place[walk_lane_count];
        for (std::size_t lane = 0; lane < walk_lane_count; ++lane) {
          ranks[lane] = arguments.scratch + row_of(lane) * forest.column_count;
          place[lane] = trees[tree].root;
        }
        walk(forest.nodes, trees[tree].depth, place,
             [&] [[gnu::always_inline]] (std::size_t lane) { return ranks[lane]; });
        for (std::size_t lane = 0; lane < walk_lane_count && begin + lane < count; ++lane) {
          sums[begin + lane] += forest.node_values[place[lane]];
        }
      }
    }
    for (std::size_t row = 0; row < count; ++row) {
      arguments.outputs[(first_row + row) * forest.class_count + group] = sums[row];
    }
  }
}

void softmax(double* values, std::size_t count) {
  double largest = values[0];
  for (std::size_t index = 1; index < count; ++index) {
    largest = largest < values[index] ? values[index] : largest;
  }
  double total = 0.0;
  for (std::size_t index = 0; index < count; ++index) {
    values[index] = portable_exp(values[index] - largest);
    total += values[index];
  }
  for (std::size_t index = 0; index < count; ++index) {
    values[index] /= total;
  }
}

double transformed(const ForestView& forest, double sum) {
  switch (forest.transform) {
    case forest_signed_square:
      return sum < 0.0 ? -(sum * sum) : sum * sum;
    case forest_exponential:
      return portable_exp(sum);
    case forest_sigmoid:
      return 1.0 / (1.0 + portable_exp(-forest.sigmoid * sum));
    default:
      return sum;
  }
}

void finish(const ForestArguments& arguments) {
  const ForestView& forest = *arguments.forest;
  const std::size_t value_count = arguments.row_count * forest.class_count;
  if (forest.averages) {
    const double count = static_cast<double>(forest.trees_per_class);
    for (std::size_t index = 0; index < value_count; ++index) {
      arguments.outputs[index] /= count;
    }
  }
  if (forest.transform == forest_softmax) {
    for (std::size_t row = 0; row < arguments.row_count; ++row) {
      softmax(arguments.outputs + row * forest.class_count, forest.class_count);
    }
  } else if (forest.transform != forest_identity) {
    for (std::size_t index = 0; index < value_count; ++index) {
      arguments.outputs[index] = transformed(forest, arguments.outputs[index]);
    }
  }
}

}  // namespace

void forest_predict(const ForestArguments& arguments) {
  constexpr std::size_t wide_vectors = forest_tile_rows_max / sizeof(ByteLanes);
  constexpr std::size_t narrow_rows = forest_tile_rows_max / 2;
  const bool has_masks = arguments.forest->has_masks;
  std::size_t row = 0;
  while (row < arguments.row_count) {
    const std::size_t rest = arguments.row_count - row;
    const std::size_t count = rest < forest_tile_rows_max ? rest : forest_tile_rows_max;
    if (rest < tile_rows_min) {
      has_masks ? sum_row_by_masks(arguments, row) : sum_row_by_walking(arguments, row);
      row += 1;
    } else if (!has_masks) {
      sum_block(arguments, row, count);
      row += count;
    } else if (narrow_rows + tile_rows_min <= rest) {
      sum_tile<wide_vectors>(arguments, row, count);
      row += count;
    } else {
      const std::size_t narrow_count = rest < narrow_rows ? rest : narrow_rows;
      sum_tile<wide_vectors / 2>(arguments, row, narrow_count);
      row += narrow_count;
    }
  }
  if (!arguments.raw) {
    finish(arguments);
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
