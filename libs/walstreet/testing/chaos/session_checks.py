"""Owns the duties of the rows that concern connections, data and the account."""

from __future__ import annotations

from walstreet.testing.chaos.order_checks import held_until_proof
from walstreet.testing.chaos.row_facts import OURS, Facts, all_ended, expect, links, trades, trades_after
from walstreet_events import (
    BarBlock,
    FeedStatus,
    IntentBlock,
    ModeState,
    OrderLink,
    OrderSubmitting,
    ReconBreak,
    SymbolStatus,
)

NANOS = 10**9
NOTICED_NS = 60 * NANOS
"""An order may still be sent for so long after the data have ended: a decision is made once a minute."""
EMPTY_BARS_MAX = 3
"""Per symbol; an outage of half a minute touches two minutes."""
STEP_NS = 5 * NANOS
"""Of the simulated market: a halt is told with the step that it begins in."""


def ids_rise(facts: Facts) -> list[str]:
    """No broker order id comes twice, or goes back, in what was asked for and in what arrived."""
    asked = [event.broker_order_id for event in facts.of(OrderSubmitting)]
    records = [*facts.records("place_received"), *facts.records("place_lost")]
    reached: dict[int, set[str]] = {}
    for record in records:
        if record.get("client_id") == OURS and not record.get("what_if", False):
            reached.setdefault(record["order_id"], set()).add(record["order_ref"])
    crossed = [f"order id {number} named {sorted(names)}" for number, names in reached.items() if len(names) > 1]
    return [
        *crossed,
        *expect(
            (len(set(asked)) == len(asked), "a broker order id was used twice"),
            (asked == sorted(asked), "broker order ids went back"),
            (bool(asked), "nothing was sent"),
        ),
    ]


def nightly(facts: Facts) -> list[str]:
    """Whatever vanished is found out, and ids never go back although the gateway's do."""
    reset = [record["ts_ns"] for record in facts.records("nightly_reset")]
    late = [event for event in facts.of(OrderSubmitting) if reset and event.ts_ns > reset[0]]
    return [
        *expect((bool(reset), "there was no reset"), (bool(late), "nothing was sent after the reset")),
        *ids_rise(facts),
        *all_ended(facts),
        *links(facts, 2),
    ]


def outage(facts: Facts) -> list[str]:
    """Fills that nobody could tell are booked once the link is back."""
    unseen = [record for record in facts.records("execution") if not record["delivered"]]
    down = [event for event in facts.of(OrderLink) if not event.connected]
    return [
        *expect((bool(unseen), "no fill was held back"), (bool(down), "the link was never told as down")),
        *links(facts, 3),
        *all_ended(facts),
    ]


def bars_come_back(facts: Facts) -> list[str]:
    """Every minute has its bars, and only those of the outage may be empty."""
    minutes = {event.ts_ns for event in facts.of(BarBlock) if not event.warmup}
    bars = facts.summary.get("bars", {})
    empty, expected = bars.get("empty", {}), bars.get("expected", 0)
    return [
        *expect(
            (len(minutes) == expected > 0, f"{len(minutes)} of {expected} minutes have bars"),
            (all(count <= EMPTY_BARS_MAX for count in empty.values()), f"empty bars after the outage: {dict(empty)}"),
        ),
        *trades_after(facts),
    ]


def farms(facts: Facts) -> list[str]:
    """A farm's trouble is the farm's: the order link stays, and trading goes on when the data do."""
    broken = {event.farm for event in facts.of(FeedStatus) if not event.healthy}
    standing = {event.farm: event.healthy for event in facts.of(FeedStatus)}
    return [
        *expect(
            (len(facts.of(OrderLink)) == 1, f"the order link changed {len(facts.of(OrderLink)) - 1} times"),
            (bool(broken), "no farm was reported broken"),
            (all(standing.values()), f"told as broken at the end: {[farm for farm, up in standing.items() if not up]}"),
        ),
        *trades_after(facts),
    ]


def client_id(facts: Facts) -> list[str]:
    """The id that owns the orders is kept, and the broker is called again at growing distances."""
    clients = {record["client_id"] for record in facts.records("place_received")}
    return [
        *links(facts, 2),
        *expect(
            (clients == {OURS}, f"orders came from clients {clients}"),
            ("broker_unreachable" in facts.logs, "no back-off"),
        ),
        *trades_after(facts),
        *all_ended(facts),
    ]


def reconnected(facts: Facts) -> list[str]:
    """Orders at work outlive the socket."""
    return [*links(facts, 3), *all_ended(facts), *held_until_proof(facts)]


def account_lags(facts: Facts) -> list[str]:
    """An account that is told late is no break: the own ledger leads."""
    found = facts.of(ReconBreak)
    return [*expect((not found, f"{len(found)} breaks, first {found[:1]}")), *trades(facts)]


def no_quotes_no_orders(facts: Facts) -> list[str]:
    """Without live data nothing is sent; with them trading goes on."""
    windows = facts.windows("competing_session")
    blind = [
        event
        for event in facts.of(OrderSubmitting)
        for begun, ended in windows
        if begun + NOTICED_NS < event.ts_ns < ended
    ]
    told = [event for event in facts.of(FeedStatus) if not event.healthy]
    return [
        *expect(
            (bool(windows), "nobody took the data"),
            (bool(told), "the loss of the data was not told"),
            (not blind, f"{len(blind)} orders were sent without live data"),
        ),
        *trades_after(facts),
    ]


def line_limit(facts: Facts) -> list[str]:
    """Symbols without a line are not traded; the others are."""
    traded = {event.symbol for event in facts.of(OrderSubmitting)}
    return expect(
        (len(traded) <= 5, f"orders in {len(traded)} symbols with five lines of quotes"),
        (bool(traded), "nothing was traded in the symbols that have a line"),
    )


def hang(facts: Facts) -> list[str]:
    """An open port that answers nothing is found out, somebody is told, and the session goes on afterwards."""
    return [
        *expect(("broker_hangs" in facts.logs, "nobody was told that the gateway hangs")),
        *links(facts, 2),
        *all_ended(facts),
        *trades_after(facts),
    ]


def delayed(facts: Facts) -> list[str]:
    """The kind of data that arrives is on the TAPE, nothing is opened on delayed ones, and trading goes on."""
    kinds = {event.data_type for event in facts.of(FeedStatus)}
    reducing = {intent.id for event in facts.of(IntentBlock) for intent in event.intents if intent.reducing}
    blind = [
        event
        for event in facts.of(OrderSubmitting)
        for begun, ended in facts.windows("delayed_data")
        if begun + STEP_NS < event.ts_ns < ended and event.intent not in reducing
    ]
    modes = [event.mode.value for event in facts.of(ModeState)]
    return [
        *expect(
            ("delayed" in kinds, f"kinds of data on the TAPE: {sorted(kinds)}"),
            (not blind, f"{len(blind)} positions were opened on delayed data"),
            ("observe" in modes, f"modes {modes}"),
        ),
        *trades_after(facts),
    ]


def halts(facts: Facts) -> list[str]:
    """A halt that was told stops its symbol until it is over."""
    halted: dict[str, bool] = {}
    seen: set[str] = set()
    sent: list[str] = []
    for event in facts.events:
        if isinstance(event, SymbolStatus):
            halted[event.symbol] = event.halted
            seen |= {event.symbol} if event.halted else set()
        elif isinstance(event, OrderSubmitting) and halted.get(event.symbol, False):
            sent.append(event.symbol)
    return [
        *expect(
            ({"SYN01", "SYN02", "SYN03"} <= seen, f"halts were seen for {sorted(seen)}"),
            (not sent, f"orders were sent into a halt of {sent}"),
            (not any(halted.values()), "a halt did not end"),
        ),
        *trades_after(facts),
    ]
