"""Owns the rows of the broker's known failures: which script produces each, and what shows that the duty is met.

Every row is a whole session under its script, judged by the simulator's ground truth: no order twice, no execution lost
or doubled, no orphan, and what the row asks for besides. A duty that is not met stands here as such, with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from walstreet.domain.order import TERMINAL
from walstreet_events import (
    AnyEvent,
    BarBlock,
    ExternalOrder,
    FeedStatus,
    OrderCommission,
    OrderFilled,
    OrderLink,
    OrderRefused,
    OrderState,
    OrderSubmitting,
    OrderUpdated,
    ReconBreak,
    SymbolStatus,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known after a session."""

    events: Sequence[AnyEvent]
    truth: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    logs: str
    """The structured logs of all services."""

    def of(self, kind: type) -> list[Any]:
        """Return the events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    def records(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the broker's records of one kind."""
        return [record for record in self.truth if record["kind"] == kind]

    def states(self, client_order_id: str) -> list[OrderState]:
        """Return the states that an order went through in our books."""
        return [event.state for event in self.of(OrderUpdated) if event.client_order_id == client_order_id]


Check = Callable[[Facts], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, or one part of it."""

    numbers: str
    """Of the table of known failures."""
    script: str
    """Its file without the ending, under ``tests/faults``."""
    duty: str
    check: Check
    lockstep: bool = True
    """Failures of a connection need a clock that goes on without it."""
    allowed: tuple[str, ...] = ()
    """What the session may report as broken, because it is what the row asks for: an alarm."""
    settings: tuple[str, ...] = field(default=())


def _expect(*conditions: tuple[bool, str]) -> list[str]:
    return [text for holds, text in conditions if not holds]


def _trades_after(facts: Facts, kind: str = "fault_ended") -> list[str]:
    """Return a fault when nothing was traded after the last fault of the script ended."""
    ended = [record["ts_ns"] for record in facts.records(kind)]
    sent = [event.ts_ns for event in facts.of(OrderSubmitting)]
    late = bool(ended) and any(ts_ns > max(ended) for ts_ns in sent)
    return _expect((late, "no order was sent after the fault had ended"))


def _all_ended(facts: Facts) -> list[str]:
    """Return our orders without a final state."""
    last = {event.client_order_id: event.state for event in facts.of(OrderUpdated)}
    return [
        f"order {event.client_order_id} ends as {last.get(event.client_order_id, 'submitting')}"
        for event in facts.of(OrderSubmitting)
        if last.get(event.client_order_id) not in TERMINAL
    ]


def _ids_rise(facts: Facts) -> list[str]:
    ids = [record["order_id"] for record in facts.records("place_received") if record["client_id"] == 12]
    ids += [record["order_id"] for record in facts.records("place_lost") if record.get("client_id") == 12]
    asked = [event.broker_order_id for event in facts.of(OrderSubmitting)]
    return _expect(
        (len(set(asked)) == len(asked), "a broker order id was used twice"),
        (asked == sorted(asked), "broker order ids went back"),
        (bool(ids), "nothing was sent"),
    )


def _nightly(facts: Facts) -> list[str]:
    return [*_ids_rise(facts), *_all_ended(facts), *_links(facts, 2)]


def _links(facts: Facts, least: int) -> list[str]:
    connected = [event for event in facts.of(OrderLink) if event.connected]
    return _expect(
        (len(connected) >= least, f"{len(connected)} connections of the order link, at least {least} wanted")
    )


def _lost_placements(facts: Facts) -> list[str]:
    lost = [str(record["order_ref"]) for record in facts.records("place_lost")]
    return [
        *_expect((len(lost) > 0, "the script lost no placement")),
        *(
            f"lost order {reference} went through {facts.states(reference)}"
            for reference in lost
            if facts.states(reference)[-1:] != [OrderState.EXPIRED]
        ),
        *_all_ended(facts),
    ]


def _silent_placements(facts: Facts) -> list[str]:
    silent = {record["order_ref"] for record in facts.records("execution") if not record["delivered"]}
    booked = {event.client_order_id for event in facts.of(OrderFilled)}
    return [
        *_expect((bool(silent), "no fill was silent"), (silent <= booked, f"not booked: {silent - booked}")),
        *_all_ended(facts),
    ]


def _outage(facts: Facts) -> list[str]:
    unseen = [record for record in facts.records("execution") if not record["delivered"]]
    return [*_expect((bool(unseen), "no fill was held back")), *_all_ended(facts)]


def _bars_come_back(facts: Facts) -> list[str]:
    volume: Counter[int] = Counter()
    for event in facts.of(BarBlock):
        if not event.warmup:
            volume[event.bar_start_ns] += 1
    empty = facts.summary.get("bars", {}).get("empty", {})
    late = facts.summary.get("bars", {}).get("expected", 0)
    return _expect(
        (len(volume) == late, f"{len(volume)} of {late} minutes have bars"),
        (all(count <= 3 for count in empty.values()), f"empty bars after the outage: {dict(empty)}"),
    )


def _farms(facts: Facts) -> list[str]:
    broken = [event for event in facts.of(FeedStatus) if not event.healthy]
    return _expect(
        (len(facts.of(OrderLink)) == 1, f"the order link changed {len(facts.of(OrderLink)) - 1} times"),
        (bool(broken), "no farm was reported broken"),
    )


def _client_id(facts: Facts) -> list[str]:
    clients = {record["client_id"] for record in facts.records("place_received")}
    return [
        *_links(facts, 2),
        *_expect(
            (clients == {12}, f"orders came from clients {clients}"),
            ("broker_unreachable" in facts.logs, "no back-off"),
        ),
    ]


def _reconnected(facts: Facts) -> list[str]:
    return [*_links(facts, 2), *_all_ended(facts)]


def _foreign(facts: Facts) -> list[str]:
    seen = {event.symbol for event in facts.of(ExternalOrder)}
    blocked = {event.symbol for event in facts.of(OrderRefused) if event.reason == "external_order"}
    later = {
        event.symbol
        for event in facts.of(OrderSubmitting)
        for external in facts.of(ExternalOrder)
        if external.symbol == event.symbol and event.ts_ns > external.ts_ns
    }
    return _expect(
        ({"SYN01", "SYN02"} <= seen, f"external orders were seen for {sorted(seen)}"),
        (not later, f"orders were sent for {sorted(later)} after a foreign one was seen ({sorted(blocked)} refused)"),
    )


def _disorder(facts: Facts) -> list[str]:
    stray = [event for event in facts.of(ExternalOrder) if event.symbol == "STRAY"]
    stray += [event for event in facts.of(OrderFilled) if event.symbol == "STRAY"]
    return [
        *_expect((bool(stray) or facts.summary.get("dead_letters", 0) > 0, "the stray execution left no trace")),
        *_all_ended(facts),
    ]


def _partials(facts: Facts) -> list[str]:
    worst: list[str] = []
    highest: dict[str, int] = {}
    for event in facts.of(OrderUpdated):
        if event.filled_micro < highest.get(event.client_order_id, 0):
            worst.append(f"order {event.client_order_id} fell to {event.filled_micro}")
        highest[event.client_order_id] = max(highest.get(event.client_order_id, 0), event.filled_micro)
    twice = [one for one, count in Counter(event.exec_id for event in facts.of(OrderFilled)).items() if count > 1]
    return [*worst, *_expect((not twice, f"executions booked twice: {twice}")), *_all_ended(facts)]


def _cancels(facts: Facts) -> list[str]:
    return [*_expect((bool(facts.records("cancel_received")), "nothing was cancelled")), *_all_ended(facts)]


def _codes(facts: Facts) -> list[str]:
    rejected = [event for event in facts.of(OrderUpdated) if event.state is OrderState.REJECTED]
    return [*_expect((not rejected, f"{len(rejected)} orders were taken for rejected")), *_all_ended(facts)]


def _held(facts: Facts) -> list[str]:
    held = [event for event in facts.of(OrderUpdated) if event.why_held]
    return [*_expect((bool(held), "no order was seen as held")), *_all_ended(facts)]


def _what_if(facts: Facts) -> list[str]:
    reasons = Counter(event.reason for event in facts.of(OrderRefused))
    return _expect(
        (reasons["margin_unknown"] > 0, f"no refusal as margin_unknown: {dict(reasons)}"),
        (reasons["margin_timeout"] > 0, f"no refusal as margin_timeout: {dict(reasons)}"),
        (bool(facts.of(OrderSubmitting)), "nothing was sent after good answers"),
    )


def _commissions(facts: Facts) -> list[str]:
    fills = {event.exec_id for event in facts.of(OrderFilled)}
    told = {record["execution_id"] for record in facts.records("commission")}
    paid = {event.exec_id for event in facts.of(OrderCommission)}
    return _expect(
        (told & fills <= paid, f"commissions of {sorted(told & fills - paid)[:3]} were not booked"),
        (paid <= told, "a commission was booked that was never charged"),
        (bool(fills - paid), "no commission stayed away"),
    )


def _corrections(facts: Facts) -> list[str]:
    corrected = [record for record in facts.records("execution") if record.get("corrects")]
    ids = {event.exec_id for event in facts.of(OrderFilled)}
    seen = [record for record in corrected if record["execution_id"] in ids]
    traced = [event for event in facts.of(OrderUpdated) if "correct" in event.detail]
    return _expect(
        (bool(corrected), "nothing was corrected"),
        (len(seen) == len(corrected) or bool(traced), "a correction left no trace on the TAPE"),
    )


def _trades(facts: Facts) -> list[str]:
    return [*_expect((bool(facts.of(OrderFilled)), "nothing was filled")), *_all_ended(facts)]


def _breaks(facts: Facts) -> list[str]:
    return _expect((bool(facts.of(ReconBreak)), "the reconciler saw no break"))


def _refused_orders(facts: Facts) -> list[str]:
    rejected = [event for event in facts.of(OrderUpdated) if event.state is OrderState.REJECTED]
    return [*_expect((len(rejected) >= 3, f"{len(rejected)} orders were rejected")), *_all_ended(facts)]


def _no_quotes_no_orders(facts: Facts) -> list[str]:
    started, ended = _window(facts)
    entries = [event for event in facts.of(OrderSubmitting) if started + 60 * 10**9 < event.ts_ns < ended]
    return [
        *_expect((not entries, f"{len(entries)} orders were sent without live data")),
        *_trades_after(facts),
    ]


def _window(facts: Facts) -> tuple[int, int]:
    started = [record["ts_ns"] for record in facts.records("fault_started")]
    ended = [record["ts_ns"] for record in facts.records("fault_ended")]
    return min(started, default=0), max(ended, default=0)


def _line_limit(facts: Facts) -> list[str]:
    traded = {event.symbol for event in facts.of(OrderSubmitting)}
    return _expect((len(traded) <= 5, f"orders in {len(traded)} symbols with five lines of quotes"))


def _hang(facts: Facts) -> list[str]:
    return [*_all_ended(facts), *_trades_after(facts)]


def _delayed(facts: Facts) -> list[str]:
    kinds = {event.data_type for event in facts.of(FeedStatus)}
    return _expect(("delayed" in kinds, f"kinds of data on the TAPE: {sorted(kinds)}"))


def _shortable(facts: Facts) -> list[str]:
    return _all_ended(facts)


def _halts(facts: Facts) -> list[str]:
    halted = {event.symbol for event in facts.of(SymbolStatus) if event.halted}
    sent = [
        event
        for event in facts.of(OrderSubmitting)
        for status in facts.of(SymbolStatus)
        if status.symbol == event.symbol and status.halted and status.ts_ns < event.ts_ns < status.ts_ns + 50 * 10**9
    ]
    return _expect(
        ({"SYN01", "SYN02", "SYN03"} <= halted, f"halts were seen for {sorted(halted)}"),
        (not sent, f"{len(sent)} orders were sent into a halt"),
    )


BREAKS = (
    "reconciliation breaks",
    "no clean reconciliation",
    "positions are not flat",
    "minutes accounted",
    "decisions for",
)
MISSED = ("minutes accounted", "decisions for")

ROWS: tuple[Row, ...] = (
    Row(
        numbers="1, 7",
        script="01_nightly_reset",
        duty="ids never go back; outcomes are found out; nobody is cross-booked",
        check=_nightly,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="2",
        script="02_placements_lost",
        duty="found out by queries, expired by proof, never sent again",
        check=_lost_placements,
    ),
    Row(
        numbers="2",
        script="02_placements_silent",
        duty="their fills are found by queries and booked once",
        check=_silent_placements,
    ),
    Row(
        numbers="3",
        script="03_outage_fills",
        duty="fills of the outage are booked once it is over",
        check=_outage,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="4",
        script="04_1101_kept",
        duty="bars go on whatever the code said",
        check=_bars_come_back,
        lockstep=False,
    ),
    Row(
        numbers="4",
        script="04_1102_lost",
        duty="missing ticks are noticed, and subscribed anew",
        check=_bars_come_back,
        lockstep=False,
    ),
    Row(numbers="5", script="05_farms", duty="health per farm; the order link stands apart", check=_farms),
    Row(
        numbers="6",
        script="06_client_id_in_use",
        duty="back off, keep the client id",
        check=_client_id,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="6",
        script="06_refused_connections",
        duty="back off and come back",
        check=_client_id,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="9",
        script="09_disconnect_with_orders",
        duty="working orders are found again and stay manageable",
        check=_reconnected,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="10", script="10_foreign_orders", duty="EXTERNAL; the symbol is blocked", check=_foreign, allowed=BREAKS
    ),
    Row(
        numbers="11",
        script="11_disorder",
        duty="nothing is dropped, whatever the order",
        check=_disorder,
        allowed=BREAKS,
    ),
    Row(
        numbers="12",
        script="12_partial_fills",
        duty="each execution once; the filled quantity only grows",
        check=_partials,
    ),
    Row(numbers="13", script="13_cancel_pending", duty="final only after the executions are asked", check=_cancels),
    Row(numbers="13", script="13_cancel_unanswered", duty="alive until proven otherwise", check=_cancels),
    Row(
        numbers="13",
        script="13_cancelled_then_filled",
        duty="fills after Cancelled are booked",
        check=_cancels,
        allowed=BREAKS,
    ),
    Row(numbers="14", script="14_no_errors", duty="no order ends by a warning or an unknown code", check=_codes),
    Row(numbers="15", script="15_held", duty="whyHeld is in the books; held is not ended", check=_held),
    Row(numbers="16", script="16_what_if_unset", duty="unknown is no margin; fail closed, then go on", check=_what_if),
    Row(
        numbers="17",
        script="17_commissions",
        duty="a fee is booked when it is known, never as zero",
        check=_commissions,
    ),
    Row(
        numbers="17",
        script="17_corrections",
        duty="corrections are amendments of the fill",
        check=_corrections,
        allowed=BREAKS,
    ),
    Row(numbers="18", script="18_account_lags", duty="the own ledger leads; a lag is no break", check=_trades),
    Row(
        numbers="18",
        script="18_liquidation",
        duty="unseen liquidation is a break and an alarm",
        check=_breaks,
        allowed=BREAKS,
    ),
    Row(
        numbers="19",
        script="19_times_and_terms",
        duty="any form of time is read; stripped terms are outlived",
        check=_trades,
    ),
    Row(
        numbers="19",
        script="19_refusals",
        duty="refused is final with its code; the rest goes on",
        check=_refused_orders,
    ),
    Row(
        numbers="20",
        script="20_competing_session",
        duty="no orders without live data; trading goes on after",
        check=_no_quotes_no_orders,
    ),
    Row(
        numbers="20",
        script="20_line_limit",
        duty="no orders in symbols without quotes",
        check=_line_limit,
        allowed=("minutes accounted",),
    ),
    Row(
        numbers="20",
        script="20_hang",
        duty="silence is found out behind an open port",
        check=_hang,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="20",
        script="20_delayed_data",
        duty="the kind of data that arrived is recorded; none is traded on",
        check=_delayed,
    ),
    Row(
        numbers="20",
        script="20_shortable_unknown",
        duty="NaN is unknown; held shorts stay in the books",
        check=_shortable,
    ),
    Row(numbers="halts", script="21_halt", duty="no order into a known halt", check=_halts),
)
"""Row 8 needs a modification, which the platform does not send; row 20's pacing has tests of its own."""
