"""Owns the tests of the session summary: counts, hashes, latency and what it does with damage."""

from __future__ import annotations

import msgspec
import pytest

from walstreet.replay.summary import HASH_GROUPS, Summarizer, Summary, percentiles
from walstreet.testing.events import every_event
from walstreet.testing.events_base import BAR_NS, OPEN_NS, session_ref
from walstreet.testing.events_orders import (
    account_values,
    order_commission,
    order_filled,
    order_submitting,
    order_updated,
)
from walstreet.testing.tapes import MemoryTape, flipped
from walstreet_events import AnyEvent, BarBlock, Decision, IntentBlock, OrderState, Quote, Side, Trade, float_block
from walstreet_events.codec import CURRENT


def summarized(tape: MemoryTape) -> Summary:
    """Return the summary of a whole TAPE."""
    summarizer = Summarizer()
    summarizer.take(tape.messages)
    return summarizer.finish()


def example(tag: str) -> AnyEvent:
    """Return the example of ``tag``."""
    event = every_event()[tag]
    assert not isinstance(event, Quote | Trade)
    return event


def orders(*events: AnyEvent) -> dict[str, str]:
    """Return the hashes of a TAPE of ``events``."""
    return summarized(MemoryTape().extend(events)).hashes


def test_every_hashed_tag_exists() -> None:
    """A tag that no event has would silently hash nothing."""
    for tags in HASH_GROUPS.values():
        assert set(tags) <= set(CURRENT)


def test_hashes_depend_on_payloads_in_per_subject_order_only() -> None:
    """Interleaving of subjects and headers may differ between two runs; order within a subject may not."""
    one, two = order_filled(OPEN_NS, exec_id="1"), order_filled(OPEN_NS, exec_id="2")
    other = order_filled(OPEN_NS, exec_id="3", symbol="BBB")
    base = orders(one, two, other)
    assert orders(other, one, example("clock_tick.v1"), two) == base
    assert orders(two, one, other)["fills"] != base["fills"]
    assert orders(one, other)["fills"] != base["fills"]
    assert orders(one, order_filled(OPEN_NS, exec_id="2", price_nano=1), other)["fills"] != base["fills"]


def test_a_hash_covers_its_own_group_only() -> None:
    """A decision changes the hash of decisions and no other."""
    base, more = orders(order_filled(OPEN_NS)), orders(order_filled(OPEN_NS), example("decision.v1"))
    assert base["decisions"] != more["decisions"]
    assert (base["fills"], base["orders"]) == (more["fills"], more["orders"])


def test_a_group_without_events_has_a_hash() -> None:
    """Two runs without a fill agree about fills."""
    assert set(summarized(MemoryTape()).hashes) == set(HASH_GROUPS)


def test_positions_come_back_to_zero_exactly() -> None:
    """Fractions of shares bought and sold leave no rest that would be shown as a position."""
    tape = MemoryTape()
    for number, (quantity, side) in enumerate([(100_000, Side.BUY), (200_000, Side.BUY), (300_000, Side.SELL)]):
        tape.append(order_filled(OPEN_NS, exec_id=str(number), quantity_micro=quantity, side=side))
    summary = summarized(tape)
    assert summary.positions == {"AAA": 0.0}
    assert summary.fills == 3
    assert summary.fills_notional == pytest.approx(0.6 * 100.25)


def test_orders_end_in_their_last_state() -> None:
    """Each child order counts once, in the state of its last update."""
    tape = MemoryTape().extend(
        [
            order_submitting(OPEN_NS, order="a"),
            order_submitting(OPEN_NS, order="b"),
            order_updated(OPEN_NS + 1, OrderState.WORKING, order="a"),
            order_updated(OPEN_NS + 2, OrderState.FILLED, order="a"),
            order_commission(OPEN_NS + 3),
        ]
    )
    summary = summarized(tape)
    assert summary.order_states == {"filled": 1, "submitting": 1}
    assert summary.orders_sent == 2
    assert summary.commission == pytest.approx(0.35)


def test_equity_changes_from_first_to_last() -> None:
    """The first and the last report of the account bound the session; none is unknown, not zero."""
    assert summarized(MemoryTape()).equity_change is None
    values = account_values(OPEN_NS)
    assert values.net_liquidation_nano is not None
    later = msgspec.structs.replace(
        values, id="f" * 32, net_liquidation_nano=values.net_liquidation_nano + 2_500_000_000
    )
    assert summarized(MemoryTape().extend([values, later])).equity_change == pytest.approx(2.5)


def test_session_and_bars_are_counted_without_warm_up() -> None:
    """Warm-up blocks are apart; empty minutes count as accounted for."""
    bar = example("bar_block.v1")
    assert isinstance(bar, BarBlock)
    tape = MemoryTape().extend([session_ref(), msgspec.structs.replace(bar, id="a" * 32, warmup=True), bar])
    summary = summarized(tape)
    assert (summary.bars, summary.warmup_blocks, summary.bars_expected) == (1, 1, 390)
    assert summary.bars_by_symbol == {"AAA": 1, "BBB": 1}
    assert summary.bars_empty == {"BBB": 1}
    assert summary.symbols == ("AAA", "BBB")


def test_latency_is_from_the_bars_append_to_the_later_appends_of_its_cycle() -> None:
    """Wall stamps of the headers count; the order is found through its cause, although it has its own time."""
    end_ns = OPEN_NS + BAR_NS
    intent = example("intent_block.v1")
    assert isinstance(intent, IntentBlock)
    intent = msgspec.structs.replace(intent, ts_ns=end_ns)
    order = msgspec.structs.replace(order_submitting(end_ns + 777), cause=intent.id)
    slice_later = msgspec.structs.replace(order, id="c" * 32, slice_index=1)
    tape = MemoryTape()
    bar_seq = tape.append(example("bar_block.v1")).seq
    appended = {
        name: tape.append(event).seq
        for name, event in (
            ("bar_to_features", example("feature_block.v1")),
            ("bar_to_predictions", example("prediction_block.v1")),
            ("bar_to_decision", example("decision.v1")),
            ("bar_to_intent", intent),
            ("bar_to_order", order),
        )
    }
    tape.append(slice_later)
    found = summarized(tape).latency_ms
    assert {name: (values["p50"], values["samples"]) for name, values in found.items()} == {
        name: (float(seq - bar_seq), 1) for name, seq in appended.items()
    }


def test_warm_up_has_no_latency() -> None:
    """History is not late."""
    bar = example("bar_block.v1")
    tape = MemoryTape().extend([msgspec.structs.replace(bar, warmup=True), example("feature_block.v1")])
    assert summarized(tape).latency_ms == {}


def test_decisions_give_the_series_of_the_report() -> None:
    """Gross sums sizes, net sums signs, and a symbol without a weight counts nothing."""
    decision = example("decision.v1")
    assert isinstance(decision, Decision)
    column = msgspec.structs.replace(
        decision.columns[0],
        name="weight_current",
        values=float_block([0.2, -0.1, float("nan")]),
    )
    series = summarized(
        MemoryTape().extend([decision, msgspec.structs.replace(decision, id="b" * 32, columns=(column,))])
    ).series
    assert series.gross == pytest.approx([0.0, 0.3])
    assert series.net == pytest.approx([0.0, 0.1])
    assert series.equity == [100_000.0, 100_000.0]


def test_what_cannot_be_decoded_is_counted_and_the_rest_goes_on() -> None:
    """One damaged message must not end the view of a running session."""
    tape = MemoryTape().extend([order_filled(OPEN_NS, exec_id="1"), order_filled(OPEN_NS, exec_id="2")])
    tape.messages[1] = flipped(tape.messages[1], 0)
    summary = summarized(tape)
    assert (summary.undecodable, summary.fills, summary.messages) == (1, 1, 3)


def test_percentiles() -> None:
    """The four figures and the number of samples; of nothing there is only the number."""
    found = percentiles([float(value) for value in range(101)])
    assert found == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0, "samples": 101}
    assert percentiles([]) == {"samples": 0}
    assert percentiles([7.0]) == {"p50": 7.0, "p90": 7.0, "p99": 7.0, "max": 7.0, "samples": 1}
