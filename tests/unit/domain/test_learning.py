"""Owns the tests of what the arbiter learns: matured outcomes as facts, and nothing but these facts teaches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.calibrate import ModelCalibration
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.drift_parameters import HealthStatus
from walstreet.domain.learning import PAST_SLACK
from walstreet.domain.learning_parameters import GateSwitches, LearningParameters
from walstreet.domain.parameter_changes import ChangeRefusedError
from walstreet.domain.units import MINUTE_NS
from walstreet.testing.arbiter_world import DEFAULT_CALIBRATIONS, GATES_OFF, OPEN_NS, ArbiterWorld
from walstreet_events import (
    ROOT,
    AnyEvent,
    Decision,
    DriftChange,
    OutcomeBlock,
    ParameterChange,
    Verdict,
    derive_id,
    encode,
)

pytestmark = pytest.mark.spec("000.1", "002.components")
LONGEST = 60
TAUGHT = ArbiterParameters(gates=GATES_OFF, learning=LearningParameters(warmup_teaches=True))
"""Warm-up cycles are a short way to a long past."""


def minute(number: int) -> int:
    """Return the end of the session's ``number``-th bar."""
    return OPEN_NS + number * MINUTE_NS


def outcome_of(outputs: list[AnyEvent]) -> OutcomeBlock | None:
    """Return the outcome block among ``outputs``."""
    return next((event for event in outputs if isinstance(event, OutcomeBlock)), None)


def decision_of(outputs: list[AnyEvent]) -> Decision:
    """Return the decision among ``outputs``."""
    return next(event for event in outputs if isinstance(event, Decision))


def test_a_horizon_matures_at_its_end_by_hand() -> None:
    """100 at minute 1, 101.5 at minute 6: 150 bps over five minutes, at the volatility of minute 1."""
    world = ArbiterWorld.create(("AAA",))
    world.start()
    prices = {1: 100.0, 6: 101.5}
    outcomes = {
        number: outcome_of(world.cycle(minute(number), {"AAA": 0.1}, price_usd={"AAA": prices.get(number, 100.5)}))
        for number in range(1, 8)
    }
    assert [number for number, found in outcomes.items() if found] == [6, 7]
    found = outcomes[6]
    assert found is not None
    assert (found.horizons_minutes, found.symbols) == ((5,), ("AAA",))
    assert found.return_bps.array()[0, 0] == pytest.approx(150.0, abs=1e-9)
    assert found.sigma_bps.array()[0, 0] == 15.0
    assert found.ts_ns == minute(6)


def test_every_horizon_has_its_row_and_warm_up_counts() -> None:
    """After an hour of warm-up all three horizons mature with every bar, though nothing was decided."""
    world = ArbiterWorld.create(("AAA", "BBB"), parameters=TAUGHT)
    world.start()
    outputs: list[AnyEvent] = []
    for number in range(1, 63):
        outputs = world.cycle(minute(number), {"AAA": 0.1, "BBB": -0.1}, warmup=True)
    found = outcome_of(outputs)
    assert found is not None
    assert found.horizons_minutes == (5, 15, 60)
    assert found.return_bps.shape == (3, 2)
    assert not any(isinstance(event, Decision) for event in outputs)
    assert world.state.learning.conformal.horizons[5].learned == 57
    # A warm-up has no costs, and without them weights learn nothing.
    assert not world.state.learning.weights.horizons


def test_a_night_is_no_horizon() -> None:
    """The first bars of a session mature nothing of the session before."""
    world = ArbiterWorld.create(("AAA",))
    world.start()
    for number in range(1, 21):
        world.cycle(minute(number), {"AAA": 0.1})
    next_day = 24 * 60
    assert outcome_of(world.cycle(minute(next_day + 1), {"AAA": 0.1})) is None
    assert outcome_of(world.cycle(minute(next_day + 2), {"AAA": 0.1})) is None


def test_a_missing_bar_leaves_its_horizon_out() -> None:
    """Without the cycle five minutes ago there is no five-minute outcome, and no other one in its place."""
    world = ArbiterWorld.create(("AAA",))
    world.start()
    for number in (1, 2, 4, 5, 6, 7):
        world.cycle(minute(number), {"AAA": 0.1})
    assert outcome_of(world.cycle(minute(8), {"AAA": 0.1})) is None
    assert outcome_of(world.cycle(minute(9), {"AAA": 0.1})) is not None


def test_a_late_cycle_is_counted_and_not_traded() -> None:
    """A bar that comes after a newer one teaches nothing, raises nothing, and sends nothing."""
    world = ArbiterWorld.create(("AAA",))
    world.start()
    world.cycle(minute(32), {"AAA": 2.0})
    outputs = world.cycle(minute(31), {"AAA": 2.0})
    assert decision_of(outputs).verdicts[0] in (Verdict.PENDING_ORDER, Verdict.NO_REF, Verdict.STALE_BAR)
    assert outcome_of(outputs) is None
    assert (world.state.learning.late, world.state.learning.cycles) == (1, 1)


def test_a_warm_up_teaches_nothing_unless_it_is_asked_to() -> None:
    """Its forecasts are made without quotes and order flow; the live ones are others."""
    world = ArbiterWorld.create(("AAA",))
    world.start()
    for number in range(1, 20):
        assert outcome_of(world.cycle(minute(number), {"AAA": 0.1}, warmup=True)) is None
    assert (world.state.learning.cycles, world.state.learning.past) == (0, {})
    live = [outcome_of(world.cycle(minute(number), {"AAA": 0.1})) for number in range(20, 26)]
    assert [found is not None for found in live] == [False] * 5 + [True]


def test_what_waits_is_bounded() -> None:
    """No more cycles are remembered than the longest horizon needs."""
    world = ArbiterWorld.create(("AAA",), parameters=TAUGHT)
    world.start()
    for number in range(1, LONGEST + 40):
        world.cycle(minute(number), {"AAA": 0.1}, warmup=True)
    learning = world.state.learning
    assert len(learning.past) == len(learning.by_ts_ns) == len(learning.by_number) == LONGEST + PAST_SLACK


def test_only_recorded_outcomes_teach() -> None:
    """Without folding the outcome blocks nothing is learned; with them the live state is reached."""
    world = ArbiterWorld.create(("AAA", "BBB", "CCC"))
    world.start()
    rng = np.random.default_rng(3)
    for number in range(1, 31):
        price = {symbol: 100.0 + rng.normal() for symbol in world.symbols}
        world.cycle(minute(number), dict(zip(world.symbols, rng.normal(size=3).tolist(), strict=True)), price_usd=price)
    deaf, replayed = world.core.initial(), world.core.initial()
    for event, outputs in world.tape:
        deaf = world.core.evolve(deaf, event)
        replayed = world.core.evolve(replayed, event)
        for output in outputs:
            replayed = world.core.evolve(replayed, output)
            if not isinstance(output, OutcomeBlock):
                deaf = world.core.evolve(deaf, output)
    assert not deaf.learning.conformal.horizons
    assert replayed.digest() == world.state.digest() != deaf.digest()


def test_the_gate_stops_what_has_not_been_learned() -> None:
    """With the conformal gate on and no history an edge is not enough: the verdict says so, and nothing is sent."""
    world = ArbiterWorld.create(("AAA",), parameters=ArbiterParameters(gates=GateSwitches(drift=False, barrier=False)))
    world.start()
    outputs = world.cycle(minute(31), {"AAA": 2.0})
    decision = decision_of(outputs)
    assert decision.verdicts == (Verdict.CONF_UNCALIBRATED,)
    assert not any(event for event in outputs if event.__class__.__name__ == "IntentBlock")


@pytest.mark.parametrize(("skill", "verdict"), [(1.0, Verdict.ACCEPTED), (0.0, Verdict.CONF_BLOCK)])
def test_skill_opens_the_gate_and_noise_does_not(skill: float, verdict: Verdict) -> None:
    """The same edge passes after outcomes that followed the forecasts, and is blocked after others."""
    conformal = ConformalParameters(disjoint_windows_min=8, outcomes_min=40, decision_times_min=20)
    parameters = ArbiterParameters(
        gates=GateSwitches(drift=False, barrier=False),
        learning=LearningParameters(conformal=conformal, standardise=False, warmup_teaches=True),
    )
    calibration = (ModelCalibration(model="m5", horizon_minutes=5, slope=1.0, weight=1.0),)
    names = tuple(f"S{index}" for index in range(8))
    world = ArbiterWorld.create(names, parameters=parameters, calibrations=calibration)
    world.start()
    rng = np.random.default_rng(11)
    price = np.full(len(names), 100.0)
    signal = np.zeros((8, len(names)))
    for number in range(1, 201):
        # Each minute carries a fifth of the forecast that was made at most five minutes before, and noise.
        drift = skill * signal[-5:].sum(axis=0) / 5.0 * 15.0 / math.sqrt(5.0)
        price = price * (1.0 + (drift + rng.normal(scale=3.0, size=len(names))) / 1e4)
        score = rng.normal(size=len(names))
        signal = np.vstack([signal[1:], score])
        prices = dict(zip(names, price.tolist(), strict=True))
        world.cycle(minute(number), dict(zip(names, score.tolist(), strict=True)), warmup=True, price_usd=prices)
    decision = decision_of(world.cycle(minute(201), dict.fromkeys(names, 2.0)))
    assert set(decision.verdicts) <= {verdict, Verdict.RISK_NET, Verdict.RISK_GROSS, Verdict.IN_BAND, Verdict.BELOW_MIN}
    assert verdict in decision.verdicts


def test_a_quarantined_model_takes_no_part() -> None:
    """A model in quarantine leaves the blend; where it was the only one there is no prediction."""
    gates = GateSwitches(conformal=False, barrier=False)
    world = ArbiterWorld.create(("AAA",), parameters=ArbiterParameters(gates=gates))
    world.start()
    learning = world.core._learning
    for horizon in (5, 15, 60):
        world.state.learning.drift.of(f"m{horizon}", horizon, learning.drift).status = HealthStatus.QUARANTINED
    assert decision_of(world.cycle(minute(31), {"AAA": 2.0})).verdicts == (Verdict.NO_PRED,)


def test_a_recorded_change_of_health_is_not_written_again() -> None:
    """A change waits until it stands on the TAPE, as one event."""
    world = ArbiterWorld.create(("AAA",))
    event = DriftChange(
        id=derive_id(ROOT, "d", 0), cause=ROOT, ts_ns=1, model="m5", horizon_minutes=5,
        previous="healthy", status="warning", reason="rank_ic",
    )  # fmt: skip
    world.state.learning.changes.append(_change())
    assert [item.model for item in world.state.learning.changes] == ["m5"]
    world.state = world.core.evolve(world.state, event)
    assert world.state.learning.changes == []


def _change():
    from walstreet.domain.drift import StatusChange

    return StatusChange(
        model="m5", horizon_minutes=5, previous=HealthStatus.HEALTHY, status=HealthStatus.WARNING, reason="rank_ic"
    )


@pytest.mark.parametrize("path", ["arbiter.learning.standardise", "arbiter.gates.conformal"])
def test_learning_holds_from_the_start(path: str) -> None:
    """What was learned under one set of these parameters means nothing under another."""
    core = ArbiterCore(ArbiterParameters(gates=GATES_OFF), DEFAULT_CALIBRATIONS)
    change = ParameterChange(
        id=derive_id(ROOT, "p", 0), cause=ROOT, ts_ns=1, path=path, value="false", previous="true", operator="me"
    )
    with pytest.raises(ChangeRefusedError, match="holds from the start"):
        core.evolve(core.initial(), change)


def test_scores_are_judged_against_their_past() -> None:
    """With enough past a constant offset of a model no longer moves its forecast; before, it does."""
    calibration = (ModelCalibration(model="m5", horizon_minutes=5, slope=1.0, weight=1.0, score_sigma=0.2),)
    world = ArbiterWorld.create(("AAA",), parameters=TAUGHT, calibrations=calibration)
    world.start()
    rng = np.random.default_rng(5)
    first = decision_of(world.cycle(minute(1), {"AAA": 1.0}))
    for number in range(2, 140):
        world.cycle(minute(number), {"AAA": 1.0 + 0.2 * rng.normal()}, warmup=True)
    later = decision_of(world.cycle(minute(140), {"AAA": 1.0}))
    alphas = [
        next(column for column in item.columns if column.name == "alpha_blended_bps").values.array()[0, 0]
        for item in (first, later)
    ]
    assert alphas[0] == pytest.approx(15.0)
    assert abs(alphas[1]) < 2.0


def test_the_same_inputs_give_the_same_bytes() -> None:
    """Two worlds of the same facts write the same outcomes and decisions."""
    written: list[list[bytes]] = []
    for _ in range(2):
        world = ArbiterWorld.create(("AAA", "BBB"))
        world.start()
        written.append([
            encode(event)
            for number in range(1, 40)
            for event in world.cycle(minute(number), {"AAA": 0.3, "BBB": -0.3}, price_usd={"AAA": 100.0 + number})
        ])  # fmt: skip
    assert written[0] == written[1]
