// Owns a day as the choice and the trades of a thread see it, and the choice's functions.
#pragma once

#include "swing_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

struct SwingChosen {
  std::uint64_t key;
  std::size_t count;  // of tracks.chosen, in universe order
};

struct SwingDay {
  const SwingPlan* plan;
  const SwingChunk* chunk;
  SwingTracks* tracks;
  std::size_t day;  // of the chunk
  const double* growth;
  const double* price;
};

// Large universes: the names a book's point takes, from sorted lists.
SwingChosen swing_choose_listed(const SwingDay& today, const SwingPoint& point,
                                const SwingBook& book, const std::uint32_t* names);

// Small universes: the masks of the names that all tracks take, in their lanes; and those of a single book.
void swing_choose_masked(const SwingDay& today);
std::uint32_t swing_choose_single(const SwingDay& today, std::size_t point, const SwingBook& book);

WALSTREET_INLINE SwingBook* books_today(SwingTracks& tracks) { return tracks.books[tracks.side]; }

WALSTREET_INLINE double* weights_today(const SwingPlan& plan, SwingTracks& tracks,
                                       std::size_t book) {
  return tracks.book_weights[tracks.side] + book * plan.names;
}

WALSTREET_INLINE std::uint32_t* names_today(const SwingPlan& plan, SwingTracks& tracks,
                                            std::size_t book) {
  return tracks.book_names[tracks.side] + book * plan.names;
}

}  // namespace walstreet::WALSTREET_LEVEL
