"""Owns the tests of the reconciler's cost report: what the TAPE says, once after the close, tuned and replayed."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from walstreet.domain.autotune import DRIFT, OPERATOR, RESERVE, SPREAD
from walstreet.domain.reconciler import ReconcilerCore
from walstreet.domain.reconciler_parameters import ReconcilerParameters
from walstreet.domain.tca import Split
from walstreet.domain.tca_book import TcaBook, costs, fold_book
from walstreet.domain.tca_parameters import TcaParameters
from walstreet.domain.tca_step import fold_tca, tca_events, tca_state
from walstreet.replay.again import replay_core
from walstreet.replay.tca_log import TcaLog, combined_rows
from walstreet.testing.events import CLOSE_NS, OPEN_NS, clock_tick, session_ref
from walstreet.testing.events_orders import EXECUTION, INTENT, order_commission, order_examples, order_filled
from walstreet.testing.given import Scenario
from walstreet.testing.tapes import MemoryTape
from walstreet_events import (
    EXPIRY,
    ROOT,
    AnyEvent,
    Column,
    Decision,
    IntentBlock,
    MarkoutBlock,
    MarkSeen,
    Mode,
    OrderRefused,
    OrderSubmitting,
    ParameterChange,
    ParameterTuned,
    TcaReport,
    Verdict,
    derive_id,
    encode,
    float_block,
    reads,
    subject_of,
)

pytestmark = pytest.mark.spec("001.tca")

S = 1_000_000_000
DAY = 86_400 * S
REPORT_AT = CLOSE_NS + 45 * S
BASE = {RESERVE: 2.0, DRIFT: 50.0, SPREAD: 12.0}
FAST = TcaParameters(autotune="apply", days_min=1, samples_min=2, significance=0.0)


def block(name: str = INTENT, **changes: object) -> IntentBlock:
    """Return the example's block: buy 100 AAA at a mid of 100.25 within 15 s, with ``changes``."""
    found = next(event for event in order_examples(OPEN_NS) if isinstance(event, IntentBlock))
    intent = msgspec.structs.replace(found.intents[0], id=name, **changes)
    return msgspec.structs.replace(found, intents=(intent,), id=derive_id(name, "block", 0), decision="decision-1")


def submitting(name: str = INTENT) -> OrderSubmitting:
    """Return the example's child, sent at the open at a mid of 100.25."""
    found = next(event for event in order_examples(OPEN_NS) if isinstance(event, OrderSubmitting))
    return msgspec.structs.replace(found, intent=name, id=derive_id(name, "sent", 0))


def mark(offset_s: int, mid_nano: int, reference: str = EXECUTION, quote_ts_ns: int = OPEN_NS) -> MarkSeen:
    """Return a mark of a quote two cents wide."""
    return MarkSeen(
        reference=reference,
        symbol="AAA",
        offset_s=offset_s,
        bid_nano=mid_nano - 10_000_000,
        ask_nano=mid_nano + 10_000_000,
        quote_ts_ns=quote_ts_ns,
    )


def marked(*seen: MarkSeen, ts_ns: int = OPEN_NS + 60 * S) -> MarkoutBlock:
    """Return a block of marks."""
    return MarkoutBlock(id=derive_id(str(seen), "marks", 0), cause=ROOT, ts_ns=ts_ns, marks=seen)


def decision(cost_bps: float = 5.0) -> Decision:
    """Return a decision whose record holds a round trip for 5 and 15 minutes of AAA and BBB."""
    cost = np.array([[cost_bps, 9.0], [7.0, 9.0]])
    return Decision(
        id=derive_id("d", "decision", 0),
        cause=ROOT,
        ts_ns=OPEN_NS,
        symbols=("AAA", "BBB"),
        horizons_minutes=(5, 15),
        features="f",
        predictions="p",
        mode=Mode.LIVE,
        equity_nano=1,
        verdicts=(Verdict.ACCEPTED, Verdict.NO_ALPHA),
        columns=(Column(name="cost_bps", unit="bps", values=float_block(cost)),),
        config_hash="",
    )


def traded(fee_nano: int = 400_000_000) -> list[AnyEvent]:
    """Return 40 of 100 shares bought at 100.29 while the mid was 100.27, then 100.28 and 100.30 at the end."""
    first = decision()
    return [
        first,
        msgspec.structs.replace(block(), decision=first.id),
        submitting(),
        order_filled(OPEN_NS + 5 * S, price_nano=100_290_000_000),
        order_commission(OPEN_NS + 6 * S, commission_nano=fee_nano),
        marked(mark(0, 100_270_000_000), mark(5, 100_280_000_000), mark(EXPIRY, 100_300_000_000, INTENT)),
    ]


def book(*events: AnyEvent) -> TcaBook:
    """Return the book of ``events``."""
    found = TcaBook()
    for event in events:
        fold_book(found, event, quote_age_s_max=60.0)
    return found


def test_the_tape_becomes_a_split() -> None:
    """On 40 shares .02 timing, .01 impact, .01 spread, 40 cents of fees; on 60 shares .05 was missed."""
    (cost,) = costs(book(*traded()))
    assert cost.split == Split(
        spread_nano=400_000_000,
        impact_nano=400_000_000,
        timing_nano=800_000_000,
        fees_nano=400_000_000,
        opportunity_nano=3_000_000_000,
    )
    assert cost.parent.predicted_bps == 2.5
    assert cost.parent.sent_spread_bps == pytest.approx(0.02 / 100.25 * 1e4)
    assert cost.fill_ms == (5_000,)


def test_a_corrected_execution_replaces_its_first_report() -> None:
    """The broker corrects the price by a new revision: the marks stay, the fee of the newest word counts."""
    corrected = order_filled(OPEN_NS + 5 * S, exec_id=EXECUTION[:-1] + "2", price_nano=100_280_000_000)
    fee = order_commission(OPEN_NS + 7 * S, exec_id=EXECUTION[:-1] + "2", commission_nano=300_000_000)
    (cost,) = costs(book(*traded(), corrected, fee))
    assert (cost.filled_micro, cost.split.spread_nano, cost.split.fees_nano) == (40_000_000, 0, 300_000_000)
    again = order_filled(OPEN_NS + 5 * S, price_nano=100_290_000_000)
    assert costs(book(*traded(), corrected, fee, again)) == (cost,)


@pytest.mark.parametrize(
    "bad",
    [
        mark(0, 100_270_000_000, quote_ts_ns=OPEN_NS - 56 * S),
        msgspec.structs.replace(mark(0, 100_270_000_000), bid_nano=0, ask_nano=0, quote_ts_ns=0),
        msgspec.structs.replace(mark(0, 100_270_000_000), ask_nano=100_000_000_000),
    ],
    ids=["stale", "unseen", "crossed"],
)
def test_an_unsound_mark_counts_as_not_seen(bad: MarkSeen) -> None:
    """A quote of a minute ago, none at all, or a crossed one measures nothing."""
    events = [event for event in traded() if not isinstance(event, MarkoutBlock)]
    (cost,) = costs(book(*events, marked(bad)))
    assert cost.split.unattributed_nano == 1_600_000_000
    assert cost.split.timing_nano == 0


def test_an_unknown_prediction_stays_unknown() -> None:
    """An intent of another decision, or a record without a cost, has no predicted cost."""
    other = msgspec.structs.replace(decision(), columns=())
    for events in ([decision(), block()], [other, msgspec.structs.replace(block(), decision=other.id)]):
        (cost,) = costs(book(*events))
        assert math.isnan(cost.parent.predicted_bps)


def test_a_refused_parent_keeps_its_reason() -> None:
    """It was wanted, so what it missed counts; a refusal of nobody's intent changes nothing."""
    refused = next(event for event in order_examples(OPEN_NS) if isinstance(event, OrderRefused))
    stranger = msgspec.structs.replace(refused, intent="other")
    (cost,) = costs(book(block(), refused, stranger))
    assert (cost.parent.refused, cost.parent.refused_mid) == ("spread_wide", 200_500_000_000)


def play(*, tca: TcaParameters = FAST, tunables: dict[str, float] | None = None) -> Scenario:
    """Return a reconciler's life."""
    parameters = ReconcilerParameters(tca=tca)
    return Scenario(lambda: ReconcilerCore(parameters, BASE if tunables is None else tunables))


def of(kind: type, events: list[AnyEvent]) -> list:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def test_the_report_comes_once_after_the_close() -> None:
    """Not before the delay has passed, and not again with the next tick or in the next life."""
    life = play().given(session_ref(), *traded())
    assert of(TcaReport, life.when(clock_tick(REPORT_AT - 1))) == []
    (report,) = of(TcaReport, life.when(clock_tick(REPORT_AT)))
    assert report.session_date == session_ref().session_date
    assert [row.by for row in report.rows] == ["all", "horizon", "symbol", "side", "hour"]
    assert report.rows[0].timing_nano == 800_000_000
    assert of(TcaReport, life.when(clock_tick(REPORT_AT + 5 * S))) == []
    assert of(TcaReport, life.restarted().when(clock_tick(REPORT_AT + 10 * S))) == []


def test_a_session_without_orders_is_reported_too() -> None:
    """No rows, no samples; the days of the window go on."""
    (report,) = of(TcaReport, play().given(session_ref()).when(clock_tick(REPORT_AT)))
    assert report.rows == ()
    assert [item.count for item in report.samples] == [0, 0, 0]


def dear_day(number: int) -> list[AnyEvent]:
    """Return a session in which two parents cost far more than predicted."""
    opening = OPEN_NS + number * DAY
    events: list[AnyEvent] = [session_ref(f"2026-11-{20 + number}", opening)]
    for part in ("a", "b"):
        name, exec_id = f"{part}{number}", f"0000e0d5.0000000{number}.{part}.01"
        first = msgspec.structs.replace(decision(), id=derive_id(name, "decision", 0))
        fill = msgspec.structs.replace(order_filled(opening + S, exec_id=exec_id, price_nano=100_500_000_000))
        events += [
            first,
            msgspec.structs.replace(block(name), decision=first.id),
            msgspec.structs.replace(submitting(name), ts_ns=opening),
            msgspec.structs.replace(fill, intent=name),
            order_commission(opening + 2 * S, exec_id=exec_id),
        ]
    return [*events, clock_tick(opening - OPEN_NS + REPORT_AT)]


def test_tuning_goes_a_step_a_day_and_every_life_repeats_it() -> None:
    """Five dear sessions: the reserve rises from 2 by .25 a day; each change is an event that its report explains."""
    life = play()
    for number in range(5):
        life.given(*dear_day(number))
    changes = [item for item in of(ParameterTuned, life.outputs) if item.path == RESERVE]
    assert [(item.previous, item.value) for item in changes] == [
        ("2.0", "2.25"), ("2.25", "2.5"), ("2.5", "2.75"), ("2.75", "3.0"), ("3.0", "3.25"),
    ]  # fmt: skip
    assert {item.operator for item in changes} == {OPERATOR}
    reports = of(TcaReport, life.outputs)
    assert [report.proposals[0].samples for report in reports] == [2, 4, 6, 8, 10]
    assert changes[0].cause == reports[0].id
    again = play()
    for number in range(5):
        again.given(*dear_day(number))
    assert again.output_bytes() == life.output_bytes()
    assert life.restarted().state.tca.canonical() == life.state.tca.canonical()


def test_a_tape_with_tuning_replays_byte_by_byte() -> None:
    """What the reconciler wrote is decided again from the TAPE; one changed digit is found."""
    tape, core = MemoryTape(), play().core
    state = core.initial()
    for number in range(3):
        for event in dear_day(number):
            through = tape.append(event).seq
            state = core.evolve(state, event)
            for output in core.decide(state, event):
                tape.append(output, through=through)
                state = core.evolve(state, output)
    report = replay_core(play().core, tape.messages)
    assert report.clean
    assert report.by_type["parameter_tuned.v1"] >= 3
    assert report.by_type["tca_report.v1"] == 3
    slower = msgspec.structs.replace(FAST, reserve=msgspec.structs.replace(FAST.reserve, step=0.2))
    assert not replay_core(play(tca=slower).core, tape.messages).clean


@pytest.mark.parametrize(("autotune", "proposed", "changed"), [("off", 0, 0), ("propose", 3, 0), ("apply", 3, 1)])
def test_what_is_proposed_is_applied_only_where_it_is_asked_for(autotune: str, proposed: int, changed: int) -> None:
    """Off computes nothing, ``propose`` (the default) only writes it down."""
    life = play(tca=msgspec.structs.replace(FAST, autotune=autotune)).given(*dear_day(0))
    (report,) = of(TcaReport, life.outputs)
    assert len(report.proposals) == proposed
    assert len([item for item in of(ParameterTuned, life.outputs) if item.path == RESERVE]) == changed
    assert TcaParameters().autotune == "propose"


def test_an_operators_undo_holds() -> None:
    """After an undo the next dear day changes nothing."""
    life = play().given(*dear_day(0))
    undo = ParameterChange(
        id=derive_id("undo", "change", 0), cause=ROOT, ts_ns=REPORT_AT, path=RESERVE, value="2.0", previous="2.25",
        operator="anna",
    )  # fmt: skip
    life.given(undo, *dear_day(1))
    report = of(TcaReport, life.outputs)[-1]
    assert report.proposals[0].reason == "operator_hold"
    assert report.proposals[0].current == 2.0


def test_every_fact_reaches_the_reconciler() -> None:
    """What the analysis folds is among what the service reads, and the tuning's changes reach their services."""
    core = play().core
    assert all(reads(core.service, subject_of(event)) for event in traded())
    tuned = of(ParameterTuned, play().given(*dear_day(0)).outputs)[0]
    for service in ("arbiter", "execution"):
        assert reads(type(core.service)(service), subject_of(tuned))


def test_the_log_computes_what_the_report_says() -> None:
    """The rows made again from the TAPE are the reconciler's, session by session."""
    life = play()
    for number in range(2):
        life.given(*dear_day(number))
    log = TcaLog()
    log.take(life.log)
    log.finish()
    assert [item.session_date for item in log.sessions] == ["2026-11-20", "2026-11-21"]
    assert [len(report.rows) for report in log.reports] == [5, 5]
    for session, report in zip(log.sessions, log.reports, strict=True):
        assert combined_rows([session]) == report.rows
    whole = combined_rows(log.sessions)[0]
    assert (whole.parents, whole.fills) == (4, 4)
    assert len(log.changes) == len(of(ParameterTuned, life.outputs))


def test_without_tunables_nothing_is_tuned() -> None:
    """A state of its own proposes nothing for parameters it does not know."""
    state = tca_state({})
    for event in dear_day(0)[:-1]:
        fold_tca(state, event, FAST)
    (report,) = tca_events(state, clock_tick(REPORT_AT), FAST)
    assert isinstance(report, TcaReport)
    assert report.proposals == ()
    assert encode(report) == encode(tca_events(state, clock_tick(REPORT_AT), FAST)[0])
