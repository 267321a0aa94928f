// Owns the native form of walstreet/domain/counter_random.py: the same words, and the order they give to rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace walstreet {

inline constexpr std::size_t swing_digest_parts = 4;

// Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011). digest is the key's hash as four 32-bit words: two of the
// cipher's key, then the upper half of the counter.
void counter_words(const std::uint32_t* digest, std::uint64_t* words, std::size_t count);

// The stable order of the words of one digest; keeps its memory between calls.
class WordOrder {
 public:
  explicit WordOrder(std::size_t count_max);
  // Writes count <= count_max places, the place of the smallest word first.
  void write(const std::uint32_t* digest, std::int64_t* order, std::size_t count);

 private:
  std::vector<std::uint64_t> words_;
  std::vector<std::size_t> starts_;
};

}  // namespace walstreet
