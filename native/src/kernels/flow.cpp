// Owns order-flow imbalance at the best quotes (Cont, Kukanov and Stoikov 2014, equation 3).
#include "decision_steps.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

constexpr std::size_t quote_field_count = 4;

}  // namespace

// A quote with a missing field leaves the symbol as it is; its first full quote only seeds the state.
void order_flow_update(const FlowArguments& arguments) {
  const std::size_t symbols = arguments.symbol_count;
  const double* const quotes[quote_field_count] = {arguments.bid, arguments.ask,
                                                   arguments.bid_size, arguments.ask_size};
  each_chunk(symbols, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes zero = broadcast(0.0);
    Lanes now[quote_field_count];
    Lanes before[quote_field_count];
    Mask usable = zero == zero;
    Mask missing = zero < zero;
    for (std::size_t field = 0; field < quote_field_count; ++field) {
      now[field] = load_some(quotes[field] + chunk.start, chunk.count, 0.0);
      before[field] =
          load_some(arguments.previous + field * symbols + chunk.start, chunk.count, 0.0);
      usable = usable & is_usable(now[field]);
      missing = missing | negate(is_number(now[field]));
    }
    const Mask seeded = is_number(before[0]);
    const Lanes demand = keep_where(before[0] <= now[0], now[2]) -
                         keep_where(now[0] <= before[0], before[2]);
    const Lanes supply = keep_where(now[1] <= before[1], now[3]) -
                         keep_where(before[1] <= now[1], before[3]);
    const Lanes change = keep_where(usable & seeded, demand - supply);
    double* target = arguments.imbalance + chunk.start;
    store_some(target, load_some(target, chunk.count, 0.0) + change, chunk.count);
    for (std::size_t field = 0; field < quote_field_count; ++field) {
      store_some(arguments.previous + field * symbols + chunk.start,
                 select(usable, now[field], before[field]), chunk.count);
    }
    double codes[logical_lane_count];
    const Lanes unusable = select(missing, broadcast(double{status_missing}),
                                  broadcast(double{status_out_of_range}));
    store(codes, select(usable, broadcast(double{status_updated}), unusable));
    for (std::size_t lane = 0; lane < chunk.count; ++lane) {
      arguments.status[chunk.start + lane] = static_cast<std::uint8_t>(codes[lane]);
    }
  });
}

}  // namespace walstreet::WALSTREET_LEVEL
