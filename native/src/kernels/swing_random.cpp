#include "swing_random.hpp"

#include <algorithm>
#include <bit>

namespace walstreet {

namespace {

constexpr std::uint64_t multiplier_first = 0xD251'1F53;
constexpr std::uint64_t multiplier_second = 0xCD9E'8D57;
constexpr std::uint32_t weyl_first = 0x9E37'79B9;
constexpr std::uint32_t weyl_second = 0xBB67'AE85;
constexpr int round_count = 10;
constexpr std::size_t buckets_a_word = 2;
constexpr int word_bits = 64;

struct Block {
  std::uint64_t first;
  std::uint64_t second;
};

Block philox(const std::uint32_t* digest, std::uint64_t counter) {
  auto zero = static_cast<std::uint32_t>(counter);
  auto one = static_cast<std::uint32_t>(counter >> 32);
  std::uint32_t two = digest[2];
  std::uint32_t three = digest[3];
  std::uint32_t first = digest[0];
  std::uint32_t second = digest[1];
  for (int round = 0; round < round_count; ++round) {
    const std::uint64_t product = multiplier_first * zero;
    const std::uint64_t other = multiplier_second * two;
    zero = static_cast<std::uint32_t>(other >> 32) ^ one ^ first;
    one = static_cast<std::uint32_t>(other);
    two = static_cast<std::uint32_t>(product >> 32) ^ three ^ second;
    three = static_cast<std::uint32_t>(product);
    first += weyl_first;
    second += weyl_second;
  }
  return {zero | std::uint64_t{one} << 32, two | std::uint64_t{three} << 32};
}

}  // namespace

void counter_words(const std::uint32_t* digest, std::uint64_t* words, std::size_t count) {
  for (std::size_t index = 0; index < count; index += 2) {
    const Block block = philox(digest, index / 2);
    words[index] = block.first;
    if (index + 1 < count) {
      words[index + 1] = block.second;
    }
  }
}

WordOrder::WordOrder(std::size_t count_max)
    : words_(count_max), starts_(std::bit_ceil(std::max<std::size_t>(count_max, 1)) * buckets_a_word + 1) {}

// The words are uniform, so buckets of their upper bits hold hardly more than one each.
void WordOrder::write(const std::uint32_t* digest, std::int64_t* order, std::size_t count) {
  counter_words(digest, words_.data(), count);
  const std::size_t bucket_count = std::bit_ceil(std::max<std::size_t>(count, 1)) * buckets_a_word;
  const int shift = word_bits - std::countr_zero(bucket_count);
  std::fill_n(starts_.begin(), bucket_count + 1, std::size_t{0});
  for (std::size_t index = 0; index < count; ++index) {
    ++starts_[(words_[index] >> shift) + 1];
  }
  for (std::size_t bucket = 0; bucket < bucket_count; ++bucket) {
    starts_[bucket + 1] += starts_[bucket];
  }
  for (std::size_t index = 0; index < count; ++index) {
    order[starts_[words_[index] >> shift]++] = static_cast<std::int64_t>(index);
  }
  // Buckets are in order and were filled in order, so insertion moves a place over a few neighbours and is stable.
  for (std::size_t index = 1; index < count; ++index) {
    const std::int64_t moved = order[index];
    const std::uint64_t word = words_[static_cast<std::size_t>(moved)];
    std::size_t place = index;
    for (; place > 0 && words_[static_cast<std::size_t>(order[place - 1])] > word; --place) {
      order[place] = order[place - 1];
    }
    order[place] = moved;
  }
}

}  // namespace walstreet
