"""Owns the tests of monitoring a recorded session: from events on a TAPE to windows, checklists and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from walstreet.domain.check_result import CheckResult
from walstreet.domain.checklist import ChecklistItem
from walstreet.domain.monitor import MonitorReading, read
from walstreet.domain.monitor_parameters import MonitorParameters
from walstreet.replay.watch import SessionWatch, Watched
from walstreet.testing.events_blocks import rotation_decision
from walstreet.testing.tapes import MemoryTape
from walstreet.testing.watched_session import (
    answers,
    closed,
    cycle_id,
    decision,
    end_ns,
    outcome,
    price_bar,
    volatility,
)
from walstreet_events import AnyEvent, Decision, IntBlock, PredictionBlock, Verdict, decode

pytestmark = pytest.mark.spec("000.11")

CASES = [[0.1, 0.1], [0.3, 0.4], [0.2, 0.6]]
"""Answers of the models for return, peak and valley."""


def cycle(
    number: int,
    verdicts: Sequence[Verdict] = (Verdict.ACCEPTED, Verdict.NO_ALPHA),
    changed: Mapping[str, Sequence[float]] | None = None,
    without: Sequence[str] = (),
) -> list[AnyEvent]:
    """Return the events of one cycle, from its bar to its decision."""
    return [
        price_bar(number, [100.0, 50.0], [100.0, 50.0], [100.0, 50.0]),
        volatility(number, [10.0, 10.0]),
        answers(number, CASES),
        decision(number, verdicts, changed=changed or {}, without=without),
    ]


def watched(events: Sequence[AnyEvent], parameters: MonitorParameters | None = None) -> tuple[SessionWatch, Watched]:
    """Return a watch that has seen a TAPE of ``events``, and what it says at the end."""
    watch = SessionWatch(parameters)
    for message in MemoryTape().extend(events).messages:
        watch.take(message, decode(message.payload))
    return watch, watch.finish()


def reading(events: Sequence[AnyEvent]) -> MonitorReading:
    """Return the windows behind a TAPE of ``events``."""
    watch, _ = watched(events)
    return read(watch.memory, watch.parameters)


def item(found: Watched, code: str) -> ChecklistItem:
    """Return one item of the newest evaluation."""
    assert found.checklist.last is not None
    return next(item for item in found.checklist.last.items if item.code == code)


def test_a_cycle_gives_turnover_churn_band_and_latency() -> None:
    """One decision, by hand.

    Turnover |.12-.10| + |-.05+.05| = .02; wanted |.20-.10| + |-.10+.05| = .15; .02 over a band of .01 is 2 bands.
    Wanted orders 2000 and 1000 over 100,000 are .03; netting leaves .02*.75 + .01*1 = .025, a churn of 1 - .025/.03.
    The tape appends every millisecond: bar, features' epoch, features, inference's epoch, predictions, arbiter's
    epoch, decision, so the decision is 6 ms behind its bar.
    """
    found = reading(cycle(0))
    assert found.turnover_weight == pytest.approx(0.02)
    assert found.turnover_wanted_weight == pytest.approx(0.15)
    assert found.turnover_bands == pytest.approx(2.0)
    assert found.churn == pytest.approx(1.0 / 6.0)
    assert (found.latencies, found.latency_max_ms) == (1, 6.0)


def test_regime_and_chosen_horizon_are_counted_together() -> None:
    """Half of the symbols turbulent is turbulent, none is calm; a horizon that follows the regime depends on it."""
    events: list[AnyEvent] = []
    for number in range(40):
        turbulent = number % 2
        horizon = 5.0 if turbulent else 15.0
        events += cycle(
            number, changed={"turbulent": [0.0, float(turbulent)], "chosen_horizon_minutes": [horizon, math.nan],
                             "wanted": [1.0, 0.0]},
        )  # fmt: skip
    found = reading(events)
    assert found.choices == 40
    assert found.horizon_dependence == pytest.approx(1.0, abs=0.03)


def test_a_matured_horizon_gives_edges() -> None:
    """Only symbols with a net edge count, signed by it, and the chosen ones apart.

    At 5 minutes AAA has net +3 of alpha 8 and cost 5, and returns 9: realised 9 - 5 = 4, predicted 3, budget -1. BBB
    has no edge there. At 15 minutes BBB has alpha -10, cost 6, and returns -7: realised 7 - 6 = 1, predicted 4.
    """
    found = reading(
        [*cycle(0), *cycle(15), outcome(15, {5: (0, [9.0, 50.0]), 15: (0, [50.0, -7.0])})]
    )  # fmt: skip
    assert found.alpha_budget_bps[5] == pytest.approx(3.0 - 4.0)
    assert found.realised_net_bps[5] == pytest.approx(4.0)
    assert found.alpha_budget_bps[15] == pytest.approx(4.0 - 1.0)
    assert found.realised_net_bps[15] == pytest.approx(1.0)
    assert found.selector_count == 2
    assert found.selector_net_bps == pytest.approx(2.5)
    assert found.candidates_net_bps == pytest.approx(2.5)


def test_a_horizon_that_was_not_chosen_is_a_candidate_only() -> None:
    """With 60 minutes wanted nowhere, the edge at 5 minutes counts for the mean of all candidates alone."""
    changed = {"chosen_horizon_minutes": [15.0, 15.0]}
    found = reading([*cycle(0, changed=changed), outcome(5, {5: (0, [9.0, 0.0])})])
    assert found.selector_count == 0
    assert found.candidates_net_bps == pytest.approx(4.0)
    assert math.isnan(found.alpha_budget_bps[5])


def test_coverage_counts_known_intervals() -> None:
    """Ends belong to the interval, an infinite end covers, and neither a missing interval nor a missing return counts.

    5 minutes: [-10, 10] covers 10, and the interval without an upper end covers 99: 2 of 2. 15 minutes: 21 is outside
    of [-20, 20], and BBB has no interval: 0 of 1.
    """
    changed = {
        "outcome_lower_bps": [[-10.0, -10.0], [-20.0, math.nan]],
        "outcome_upper_bps": [[10.0, math.inf], [20.0, 20.0]],
    }
    found = reading([*cycle(0, changed=changed), outcome(15, {5: (0, [10.0, 99.0]), 15: (0, [21.0, 0.0])})])
    assert (found.coverage[5], found.coverage_count[5]) == (1.0, 2)
    assert (found.coverage[15], found.coverage_count[15]) == (0.0, 1)
    found = reading([*cycle(0), outcome(5, {5: (0, [math.nan, 3.0])})])
    assert (found.coverage[5], found.coverage_count[5]) == (1.0, 1)


def test_barrier_probabilities_meet_what_followed() -> None:
    """AAA falls through its lower barrier in the third minute and BBB stands still: one peak, no valley.

    With sigma 10 bps the horizon's is 10*sqrt(3) = 17.3 bps, so the stop of AAA is at 99.827 and 99.8 is beyond it.
    """
    events = cycle(0)
    for number in range(1, 16):
        low = 99.8 if number == 3 else 100.0
        events.append(price_bar(number, [100.0, 50.0], [low, 50.0], [100.0, 50.0]))
    found = reading(events).barriers
    assert (found["peak"].count, found["peak"].base_rate) == (2, 0.5)
    assert (found["valley"].count, found["valley"].base_rate) == (2, 0.0)
    # Brier of peak: ((.3-1)^2 + (.4-0)^2)/2 = .325; of valley: (.2^2 + .6^2)/2 = .2.
    assert found["peak"].brier == pytest.approx(0.325)
    assert found["valley"].brier == pytest.approx(0.2)


def test_the_checklist_is_evaluated_on_time_and_at_the_end() -> None:
    """Every second of five cycles, then once more for the fifth; each evaluation judges its own cycles."""
    events = [event for number in range(5) for event in cycle(number)]
    _, found = watched([*events, closed()], MonitorParameters(checklist_every=2))
    assert [evaluation.cycle for evaluation in found.checklist.evaluations] == [2, 4, 5]
    assert found.checklist.evaluations[0].ts_ns == end_ns(1)
    assert item(found, "every_cycle_decided").detail == "1 decisions for 1 prediction blocks"
    assert item(found, "every_cycle_decided").result is CheckResult.PASSED
    assert found.cycles == 5


def test_a_session_that_ends_with_an_evaluation_gets_no_second_one() -> None:
    """The last cycle was evaluated; there is nothing more to say."""
    events = [event for number in range(4) for event in cycle(number)]
    _, found = watched([*events, closed()], MonitorParameters(checklist_every=2))
    assert [evaluation.cycle for evaluation in found.checklist.evaluations] == [2, 4]


def test_what_failed_once_is_kept() -> None:
    """An undecided cycle fails its own evaluation, and later ones do not hide it."""
    events = [event for number in range(6) for event in cycle(number) if event.id != cycle_id(Decision, 1)]
    _, found = watched([*events, closed()], MonitorParameters(checklist_every=2))
    first, *later = found.checklist.evaluations
    assert first.failed == ("every_cycle_decided",)
    assert [evaluation.failed for evaluation in later] == [(), ()]
    assert found.checklist.failures == {"every_cycle_decided": 1}


def test_an_empty_tape_has_nothing_to_check() -> None:
    """No evaluation, no gate that was asked, and nothing that failed."""
    _, found = watched([])
    assert found.checklist.last is None
    assert found.cycles == 0
    assert all(rate.asked == 0 for rate in found.gates.values())


def test_a_session_that_was_never_decided_fails() -> None:
    """Prediction blocks without any decision are a failure, not nothing."""
    _, found = watched([*cycle(0)[:3], *cycle(1)[:3], closed()])
    assert item(found, "every_cycle_decided").result is CheckResult.FAILED
    assert item(found, "every_cycle_decided").value == 2.0


def test_a_session_that_only_rotates_owes_no_cycle() -> None:
    """Forecasts go on there for learning; with one intraday decision every cycle is due again."""
    forecasts = [*cycle(0)[:3], *cycle(1)[:3]]
    _, found = watched([*forecasts, rotation_decision(), closed()])
    assert found.checklist.failures == {}
    assert any(note.startswith("every_cycle_decided") for note in found.checklist.notes)
    _, mixed = watched([*forecasts, rotation_decision(), *cycle(2), closed()])
    assert item(mixed, "every_cycle_decided").result is CheckResult.FAILED


def test_a_record_of_an_older_revision_is_read_as_far_as_it_goes() -> None:
    """Missing columns leave their items unknown and are named; verdicts and latency count all the same."""
    without = ("netting_churn", "outcome_lower_bps", "turbulent", "weight_final", "net_bps", "conf_lower_bps")
    events = [*cycle(0, without=without), outcome(5, {5: (0, [9.0, 0.0])})]
    watch, found = watched(events)
    numbers = read(watch.memory, watch.parameters)
    assert found.gates["edge"].asked == 2
    assert numbers.latencies == 1
    assert math.isnan(numbers.churn)
    assert numbers.turnover_wanted_weight == 0.0
    assert numbers.coverage_count[5] == 0
    assert math.isnan(numbers.candidates_net_bps)
    assert numbers.choices == 0
    for name in without:
        assert any(note.endswith(f"no usable column {name} (1 records)") for note in found.checklist.notes), name


def test_a_column_that_does_not_fit_is_missing() -> None:
    """Three values for two symbols say nothing about either."""
    _, found = watched(cycle(0, changed={"turbulent": [1.0, 1.0, 1.0]}))
    assert "regime: no usable column turbulent (1 records)" in found.checklist.notes


def test_a_wanted_symbol_without_a_horizon_is_named() -> None:
    """Such a record contradicts itself; its cycle counts without turnover and horizons."""
    _, found = watched(cycle(0, changed={"chosen_horizon_minutes": [math.nan, 15.0]}))
    assert "turnover and chosen horizons: a wanted symbol has no horizon (1 records)" in found.checklist.notes


def test_a_second_copy_of_a_decision_counts_once() -> None:
    """A later life of the arbiter may write the same decision again."""
    _, found = watched([*cycle(0), cycle(0)[3], closed()])
    assert found.cycles == 1
    assert found.series.ts_ns == [end_ns(0)]


def test_a_gate_that_is_switched_off_is_not_judged() -> None:
    """What passes although its interval does not clear the cost was not asked.

    With one cycle that shows the gate at work, all four count: each has one symbol with an edge, so it was asked of 4.
    """
    off = {"conf_pass": [[1.0, 1.0], [1.0, 1.0]]}
    events = [event for number in range(3) for event in cycle(number, changed=off)]
    _, found = watched(events, MonitorParameters(gate_asked_min=1))
    assert found.gates["conformal"].asked == 0
    assert item(found, "gate_conformal").result is CheckResult.UNKNOWN
    assert any("gate_conformal: no cycle shows this gate at work" in note for note in found.checklist.notes)
    events += cycle(3)
    _, found = watched(events, MonitorParameters(gate_asked_min=1))
    assert found.gates["edge"].asked == 8
    assert found.gates["conformal"].asked == 4


def test_a_gate_that_lets_everything_through_is_a_defect() -> None:
    """A gate at work that never stops a symbol fails, over the session and in the checklist."""
    verdicts = (Verdict.ACCEPTED, Verdict.IN_BAND)
    _, found = watched(cycle(0, verdicts), MonitorParameters(gate_asked_min=2))
    assert found.gates["conformal"].result is CheckResult.FAILED
    assert item(found, "gate_conformal").result is CheckResult.FAILED
    assert "gate_conformal" in found.checklist.failures


def test_an_unknown_horizon_is_passed_over() -> None:
    """A horizon that this revision does not know ends nothing."""
    odd = decision(0, changed={"chosen_horizon_minutes": [7.0, 15.0]}, horizons_minutes=(7, 15))
    watch, _ = watched([*cycle(0)[:3], odd, outcome(15, {7: (0, [9.0, 0.0]), 15: (0, [0.0, -7.0])})])
    found = read(watch.memory, watch.parameters)
    assert found.choices == 1
    assert found.coverage_count[15] == 2


def test_damaged_arrays_end_nothing() -> None:
    """A block whose bytes do not fit its shape is left out, whoever wrote it."""
    bar = price_bar(1, [1.0, 1.0], [1.0, 1.0], [1.0, 1.0])
    broken = msgspec.structs.replace(bar, high_nano=IntBlock(shape=(2,), data=bytes(8)))
    bad = outcome(5, {5: (0, [1.0])})
    _, found = watched([*cycle(0), broken, bad])
    assert found.cycles == 1
    assert "outcomes: a block does not fit its names (1 records)" in found.checklist.notes


def test_warm_up_is_not_due() -> None:
    """A warm-up block asks for no decision."""
    warm = answers(0, CASES, warmup=True)
    assert isinstance(warm, PredictionBlock)
    _, found = watched([warm, closed()])
    assert found.checklist.last is None
