"""Owns the rows of the broker's known failures: which script produces each, and what shows that the duty is met.

Every row is a whole session under its script, judged by the simulator's ground truth: no order twice, no execution lost
or doubled, no orphan, and what the row asks for besides. A duty that is not met stands here as such, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from walstreet.testing.chaos import order_checks, session_checks
from walstreet.testing.chaos.row_facts import Facts, trades

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
        check=session_checks.nightly,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="2",
        script="02_placements_lost",
        duty="found out by queries, expired by proof, never sent again",
        check=order_checks.lost_placements,
    ),
    Row(
        numbers="2",
        script="02_placements_silent",
        duty="their fills are found by queries and booked once",
        check=order_checks.silent_placements,
    ),
    Row(
        numbers="3",
        script="03_outage_fills",
        duty="fills of the outage are booked once it is over",
        check=session_checks.outage,
        lockstep=False,
        allowed=MISSED,
        # A question that the outage swallowed is given up after this time; the clock's speed makes it 40 times longer.
        settings=("broker.request_timeout_s=2",),
    ),
    Row(
        numbers="4",
        script="04_1101_kept",
        duty="bars go on whatever the code said",
        check=session_checks.bars_come_back,
        lockstep=False,
    ),
    Row(
        numbers="4",
        script="04_1102_lost",
        duty="missing ticks are noticed, and subscribed anew",
        check=session_checks.bars_come_back,
        lockstep=False,
    ),
    Row(
        numbers="5", script="05_farms", duty="health per farm; the order link stands apart", check=session_checks.farms
    ),
    Row(
        numbers="6",
        script="06_client_id_in_use",
        duty="back off, keep the client id",
        check=session_checks.client_id,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="6",
        script="06_refused_connections",
        duty="back off and come back",
        check=session_checks.client_id,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="8",
        script="08_split_modification",
        duty="each incarnation is known, booked and cancelled",
        check=order_checks.incarnations,
    ),
    Row(
        numbers="9",
        script="09_disconnect_with_orders",
        duty="working orders are found again and stay manageable",
        check=session_checks.reconnected,
        lockstep=False,
        allowed=MISSED,
    ),
    Row(
        numbers="10",
        script="10_foreign_orders",
        duty="EXTERNAL; the symbol is blocked",
        check=order_checks.foreign,
        allowed=BREAKS,
    ),
    Row(
        numbers="11",
        script="11_disorder",
        duty="nothing is dropped, whatever the order",
        check=order_checks.disorder,
        allowed=BREAKS,
        # The answer to a what-if is an openOrder, which this script holds back until an execution that never comes.
        settings=("execution.margin.enabled=false",),
    ),
    Row(
        numbers="12",
        script="12_partial_fills",
        duty="each execution once; the filled quantity only grows",
        check=order_checks.partials,
    ),
    Row(
        numbers="13",
        script="13_cancel_pending",
        duty="final only after the executions are asked",
        check=order_checks.cancels,
    ),
    Row(numbers="13", script="13_cancel_unanswered", duty="alive until proven otherwise", check=order_checks.cancels),
    Row(
        numbers="13",
        script="13_cancelled_then_filled",
        duty="fills after Cancelled are booked; nothing follows before a query",
        check=order_checks.untrue_cancels,
        allowed=BREAKS,
    ),
    Row(
        numbers="14",
        script="14_no_errors",
        duty="no order ends by a warning or an unknown code",
        check=order_checks.codes,
    ),
    Row(numbers="15", script="15_held", duty="whyHeld is in the books; held is not ended", check=order_checks.held),
    Row(
        numbers="16",
        script="16_what_if_unset",
        duty="unknown is no margin; fail closed, then go on",
        check=order_checks.what_if,
    ),
    Row(
        numbers="17",
        script="17_commissions",
        duty="a fee is booked when it is known, never as zero",
        check=order_checks.commissions,
        # Fees that are never told are missing in our cash, and the reconciler says so.
        allowed=("reconciliation breaks: cash",),
    ),
    Row(
        numbers="17",
        script="17_corrections",
        duty="corrections are amendments of the fill",
        check=order_checks.corrections,
        allowed=BREAKS,
    ),
    Row(
        numbers="18",
        script="18_account_lags",
        duty="the own ledger leads; a lag is no break",
        check=session_checks.account_lags,
    ),
    Row(
        numbers="18",
        script="18_liquidation",
        duty="unseen liquidation is a break and an alarm",
        check=order_checks.breaks,
        allowed=BREAKS,
    ),
    Row(
        numbers="19",
        script="19_times_and_terms",
        duty="any form of time is read; stripped terms are outlived",
        check=trades,
    ),
    Row(
        numbers="19",
        script="19_refusals",
        duty="refused is final with its code; the rest goes on",
        check=order_checks.refused_orders,
    ),
    Row(
        numbers="20",
        script="20_competing_session",
        duty="no orders without live data; trading goes on after",
        check=session_checks.no_quotes_no_orders,
    ),
    Row(
        numbers="20",
        script="20_line_limit",
        duty="no orders in symbols without quotes",
        check=session_checks.line_limit,
        allowed=("minutes accounted",),
    ),
    Row(
        numbers="20",
        script="20_hang",
        duty="silence is found out behind an open port",
        check=session_checks.hang,
        lockstep=False,
        allowed=MISSED,
        # At forty times real time: two seconds are more than a minute of the session.
        settings=("broker.request_timeout_s=2",),
    ),
    Row(
        numbers="20",
        script="20_delayed_data",
        duty="the kind of data that arrived is recorded; nothing is opened on others than live ones",
        check=session_checks.delayed,
    ),
    Row(
        numbers="20",
        script="20_shortable_unknown",
        duty="NaN is unknown; held shorts stay in the books",
        check=order_checks.shortable,
    ),
    Row(numbers="halts", script="21_halt", duty="no order into a known halt", check=session_checks.halts),
)
"""Row 20's pacing has tests of its own."""
