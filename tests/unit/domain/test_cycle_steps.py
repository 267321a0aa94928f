"""Owns the tests of the cycle's steps on the book: correlation, netting, trigger, learned costs, horizons, modes.

They cover walstreet.domain.cycle with its parts cycle_types, cycle_gates, cycle_book, cycle_orders, cycle_record, and
book_memory, horizon_learning and prefilter_step.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbitrate import ArbitrationParameters
from walstreet.domain.correlation_risk import CorrelationRiskParameters
from walstreet.domain.decision_record import column_values
from walstreet.domain.exp3ix import rates
from walstreet.domain.meta_arbiter import MetaParameters
from walstreet.domain.mode_causes import ModeCauseParameters, exception_request
from walstreet.domain.netting import NettingParameters, NettingReason
from walstreet.domain.observations import DecisionTimed
from walstreet.domain.prefilter import PrefilterParameters
from walstreet.domain.rebalance import RebalanceReason
from walstreet.domain.shrinkage import UnknownCorrelationParameters
from walstreet.domain.size import SizeParameters
from walstreet.domain.units import MINUTE_NS
from walstreet.testing.arbiter_world import CLOSE_NS, GATES_OFF, OPEN_NS, ArbiterWorld
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    AnyEvent,
    Decision,
    EventId,
    IntentBlock,
    Mode,
    ModeRequest,
    ModeState,
    OrderIntent,
    Prefilter,
    Service,
    Verdict,
)

NOON_NS = OPEN_NS + 150 * MINUTE_NS
ALL_LONG = {"AAA": 0.9, "BBB": 0.9, "CCC": 0.9}


def only(**gates: bool) -> ArbiterParameters:
    """Return parameters with just these gates on."""
    return ArbiterParameters(gates=msgspec.structs.replace(GATES_OFF, **gates))


def started(parameters: ArbiterParameters, *, prefilter: bool = False, **options: object) -> ArbiterWorld:
    """Return a world that is LIVE with clean books."""
    world = ArbiterWorld.create(parameters=parameters, prefilter=prefilter)
    world.start(**options)  # type: ignore[arg-type]
    return world


def decision_of(outputs: Sequence[AnyEvent]) -> Decision:
    """Return the decision among ``outputs``."""
    return next(event for event in outputs if isinstance(event, Decision))


def intents_of(outputs: Sequence[AnyEvent]) -> dict[str, OrderIntent]:
    """Return the intents among ``outputs`` by symbol."""
    return {intent.symbol: intent for event in outputs if isinstance(event, IntentBlock) for intent in event.intents}


def first(outputs: Sequence[AnyEvent], name: str) -> float:
    """Return the first symbol's value of a column, of its first horizon where there are several."""
    return float(column_values(decision_of(outputs), name).reshape(-1)[0])


# ------------------------------------------------------------------------------------------------ correlation


@pytest.mark.spec("000.7")
def test_a_cluster_shares_one_cap() -> None:
    """Names of which nothing is known but that they rise and fall together at .8 share a gross weight of .02."""
    parameters = msgspec.structs.replace(
        only(correlation=True),
        correlation=CorrelationRiskParameters(cluster_gross_max=0.02),
        unknown_correlation=UnknownCorrelationParameters(rho_other_sector=0.8),
    )
    decision = decision_of(started(parameters).cycle(NOON_NS, ALL_LONG))
    assert np.abs(column_values(decision, "weight_final")).sum() <= 0.02 * (1 + 1e-12)
    assert column_values(decision, "cluster").tolist() == [0.0, 0.0, 0.0]
    without = decision_of(started(only()).cycle(NOON_NS, ALL_LONG))
    assert np.abs(column_values(without, "weight_final")).sum() > 0.1


@pytest.mark.spec("000.7")
def test_the_book_keeps_to_its_volatility() -> None:
    """At most 10 bps a day, whatever the forecasts want; the record says what it came to."""
    parameters = msgspec.structs.replace(
        only(correlation=True), correlation=CorrelationRiskParameters(volatility_day_bps_max=2.0)
    )
    decision = decision_of(started(parameters).cycle(NOON_NS, ALL_LONG))
    assert 0.0 < first([decision], "volatility_book_bps") <= 2.0 * (1 + 1e-9)
    assert Verdict.RISK_VOLATILITY in decision.verdicts or Verdict.ACCEPTED in decision.verdicts


@pytest.mark.parametrize("method", ["ridge", "erc"])
def test_sizes_by_correlation_use_the_whole_budget(method: str) -> None:
    """Equal names of equal risk get equal weights, up to the gross target or the name cap."""
    base = only()
    parameters = msgspec.structs.replace(
        base,
        size=SizeParameters(method="risk", gross_target=0.12),
        risk_weights=msgspec.structs.replace(base.risk_weights, method=method),
    )
    decision = decision_of(started(parameters).cycle(NOON_NS, ALL_LONG))
    np.testing.assert_allclose(column_values(decision, "weight_wanted"), 0.04, rtol=1e-9)


# ---------------------------------------------------------------------------------------- netting and trigger


@pytest.mark.spec("001.control")
def test_a_flip_without_a_better_reason_only_closes() -> None:
    """Long at alpha a, then short at the same alpha: the position is closed, and nothing is opened against it."""
    world = started(only(netting=True))
    opened = intents_of(world.cycle(NOON_NS, {"AAA": 0.9}))["AAA"]
    world.fill_whole(opened, ts_ns=NOON_NS)
    outputs = world.cycle(NOON_NS + MINUTE_NS, {"AAA": -0.9})
    closing = intents_of(outputs)["AAA"]
    assert (closing.quantity_micro, closing.reducing) == (opened.quantity_micro, True)
    assert first(outputs, "netting_reason") == NettingReason.HYSTERESIS
    free = started(only())
    free.fill_whole(intents_of(free.cycle(NOON_NS, {"AAA": 0.9}))["AAA"], ts_ns=NOON_NS)
    assert intents_of(free.cycle(NOON_NS + MINUTE_NS, {"AAA": -0.9}))["AAA"].quantity_micro > opened.quantity_micro


def test_an_order_that_was_not_sent_is_not_remembered() -> None:
    """What netting keeps back leaves no trace in the window: the next cycle is asked as if it had never been wanted."""
    parameters = msgspec.structs.replace(only(netting=True), netting=NettingParameters(net_usd_min=1e6))
    world = started(parameters)
    outputs = world.cycle(NOON_NS, {"AAA": 0.9})
    assert decision_of(outputs).verdicts[0] is Verdict.BELOW_MIN
    assert not intents_of(outputs)
    assert world.state.book.netting.symbols == {}


@pytest.mark.spec("000.4")
def test_a_drift_without_an_event_waits_for_the_sweep() -> None:
    """.036 against a target of .05 is 1.75 bands: held until the sweep at 14:30, and swept once."""
    world = started(only(rebalance=True), positions={"AAA": 360})
    outputs = world.cycle(NOON_NS, {"AAA": 0.9})
    assert decision_of(outputs).verdicts[0] is Verdict.HOLD
    assert first(outputs, "rebalance_reason") == RebalanceReason.NO_EVENT
    swept = world.cycle(CLOSE_NS - 90 * MINUTE_NS, {"AAA": 0.9})
    assert decision_of(swept).verdicts[0] is Verdict.ACCEPTED
    assert (first(swept, "sweep"), first(swept, "rebalance_reason")) == (1.0, RebalanceReason.SWEEP)
    # The order was never filled and its time is over: the same drift is there again, but the sweep is not.
    again = world.cycle(CLOSE_NS - 80 * MINUTE_NS, {"AAA": 0.9})
    assert (first(again, "sweep"), decision_of(again).verdicts[0]) == (0.0, Verdict.HOLD)


def test_a_far_drift_and_a_reduction_need_no_event() -> None:
    """2.5 bands trade at once; so does what leads towards 0."""
    world = started(only(rebalance=True), positions={"AAA": 300, "BBB": 500})
    outputs = world.cycle(NOON_NS, {"AAA": 0.9, "BBB": 0.0})
    assert first(outputs, "rebalance_reason") == RebalanceReason.DRIFT
    assert intents_of(outputs)["BBB"].reducing


# --------------------------------------------------------------------------------------------- learned costs


@pytest.mark.spec("000.6")
def test_fills_correct_the_cost() -> None:
    """One fill 30 bps above its mid moves the round trip by 2 * (30 - modelled) / 51 bps, at most 5."""
    world = started(only())
    outputs = world.cycle(NOON_NS, {"AAA": 0.9})
    intent = intents_of(outputs)["AAA"]
    modelled = first(outputs, "slippage_modelled_bps")
    world.send(world.submitting(intent, ts_ns=NOON_NS))
    fill = world.filled(intent, ts_ns=NOON_NS)
    world.send(msgspec.structs.replace(fill, price_nano=intent.arrival_mid_nano * 10_030 // 10_000))
    later = world.cycle(NOON_NS + MINUTE_NS, {"AAA": 0.9})
    assert first(later, "cost_correction_bps") == pytest.approx(2.0 * (30.0 - modelled) / 51.0)
    assert first(later, "cost_bps") == pytest.approx(first(outputs, "cost_bps") + first(later, "cost_correction_bps"))
    # The same execution reported twice teaches once.
    world.send(msgspec.structs.replace(fill, price_nano=intent.arrival_mid_nano * 10_030 // 10_000))
    assert world.state.book.slippage.records["AAA"].fills == 1


# ------------------------------------------------------------------------------------------ choice of a horizon


def learned(method: str, **options: object) -> ArbiterParameters:
    """Return parameters under which ``method`` chooses the horizon."""
    return msgspec.structs.replace(only(), arbitration=ArbitrationParameters(method=method, **options))  # type: ignore[arg-type]


@pytest.mark.spec("000.3")
def test_the_bandit_draws_by_the_record_and_learns_from_outcomes() -> None:
    """Two worlds draw the same arms with the same probabilities, and the outcome of a drawn arm is learned once."""
    worlds = [started(learned("exp3ix")) for _ in range(2)]
    outputs = [world.cycle(NOON_NS, ALL_LONG) for world in worlds]
    assert outputs[0] == outputs[1]
    decision = decision_of(outputs[0])
    assert column_values(decision, "horizon_probability").tolist() == pytest.approx([1 / 3] * 3)
    bandit = worlds[0].state.choices.bandit
    assert (bandit.decisions, len(bandit.pending), bandit.learned) == (3, 3, 0)
    assert next(iter(bandit.pending.values())).gamma == rates(1, 3)[1]
    for number in range(1, 61):
        worlds[0].cycle(NOON_NS + number * MINUTE_NS, {"AAA": 0.0, "BBB": 0.0, "CCC": 0.0})
    assert bandit.learned == 3
    assert decision.predictions not in worlds[0].state.choices.waiting


@pytest.mark.spec("000.3")
def test_the_meta_model_learns_which_horizon_pays() -> None:
    """Without enough labelled decisions the winner rule chooses; after a morning of them the model does."""
    world = started(learned("meta", meta=MetaParameters(samples_min=30, refit_cycles=5)))
    first_choice = world.cycle(OPEN_NS + 20 * MINUTE_NS, ALL_LONG)
    assert first(first_choice, "chosen_horizon_minutes") == 60.0
    assert first(first_choice, "horizon_probability") == 1.0
    for number in range(21, 131):
        # A saw-tooth of ten minutes: a long position of five minutes earns in the first half of each.
        price = 100.0 + (number % 10 if number % 10 < 5 else 10 - number % 10) * 0.3
        prices = dict.fromkeys(world.symbols, price)
        block = world.features(OPEN_NS + number * MINUTE_NS, price_usd=prices, imbalance=0.1 * (number % 7))
        world.send(world.clock(block.ts_ns))
        world.send(block)
        world.send(world.predictions(block, world.score_rows(ALL_LONG)))
    assert world.state.choices.meta.fitted_rows >= 30
    chosen = first(world.cycle(OPEN_NS + 131 * MINUTE_NS, ALL_LONG), "horizon_probability")
    assert 0.0 < chosen <= 1.0


# --------------------------------------------------------------------------------------------------- prefilter


@pytest.mark.spec("001.control")
def test_the_prefilter_says_for_whom_expensive_models_run() -> None:
    """It chooses after a scan, keeps the choice for its time, and adds a name that comes to be held."""
    parameters = msgspec.structs.replace(only(), prefilter=PrefilterParameters(cache_s=180.0))
    world = started(parameters, prefilter=True, positions={"CCC": 100})
    opened = world.cycle(NOON_NS, {"AAA": 0.9})
    found = [event for event in opened if isinstance(event, Prefilter)]
    # Nothing has matured yet, so no forecast is trusted: only what is held passes.
    assert [event.symbols for event in found] == [("CCC",)]
    assert found[0].expires_ns == NOON_NS + 180_000_000_000 - 1
    assert not any(isinstance(event, Prefilter) for event in world.cycle(NOON_NS + MINUTE_NS, {"AAA": 0.9}))
    world.fill_whole(intents_of(opened)["AAA"], ts_ns=NOON_NS + MINUTE_NS)
    added = [event for event in world.cycle(NOON_NS + 2 * MINUTE_NS, {"AAA": 0.9}) if isinstance(event, Prefilter)]
    assert [(event.symbols, event.expires_ns) for event in added] == [(("CCC", "AAA"), found[0].expires_ns)]
    scan = [event for event in world.cycle(NOON_NS + 3 * MINUTE_NS, {"AAA": 0.9}) if isinstance(event, Prefilter)]
    assert [event.symbols for event in scan] == [("AAA", "CCC")]


# ------------------------------------------------------------------------------------------------------- modes


def mode_after(world: ArbiterWorld, outputs: Sequence[AnyEvent] = ()) -> tuple[Mode, str]:
    """Return the mode and the reason of its last change; ``outputs`` only say what has been done before."""
    del outputs
    reasons = [event.reason for _, caused in world.tape for event in caused if isinstance(event, ModeState)]
    return world.state.mode.mode, reasons[-1]


@pytest.mark.spec("001.control")
def test_a_late_decision_degrades_the_mode_until_one_is_in_time() -> None:
    """The fact is journaled only when it matters: too late, and in time again."""
    world = started(only())
    decision = decision_of(world.cycle(NOON_NS, {"AAA": 0.9}))
    assert world.core.observe(world.state, DecisionTimed(ts_ns=NOON_NS, decision=decision, latency_ms=699.0)) == ()
    (late,) = world.core.observe(world.state, DecisionTimed(ts_ns=NOON_NS, decision=decision, latency_ms=701.0))
    world.state = world.core.evolve(world.state, late)
    assert mode_after(world, world.cycle(NOON_NS + MINUTE_NS, {})) == (Mode.DEGRADED, "decision_latency")
    other = decision_of(world.cycle(NOON_NS + 2 * MINUTE_NS, {}))
    (timely,) = world.core.observe(world.state, DecisionTimed(ts_ns=NOON_NS, decision=other, latency_ms=20.0))
    world.state = world.core.evolve(world.state, timely)
    for number in range(3, 10):
        outputs = world.cycle(NOON_NS + number * MINUTE_NS, {})
    assert world.state.mode.mode is Mode.LIVE, outputs


@pytest.mark.spec("001.control")
def test_five_exceptions_degrade_the_mode() -> None:
    """Four within five minutes do not, the fifth does; they are counted over all services."""
    world = started(only())
    world.send(world.clock(NOON_NS))
    outputs: list[AnyEvent] = []
    for number, service in enumerate((Service.GATEWAY, Service.FEATURES, Service.ARBITER, Service.EXECUTION)):
        outputs = world.send(exception_request(EventId(f"{number:032x}"), service, "core_failed", NOON_NS))
    assert mode_after(world, outputs)[0] is Mode.LIVE
    outputs = world.send(exception_request(EventId("f" * 32), Service.INFERENCE, "core_failed", NOON_NS))
    assert mode_after(world, outputs) == (Mode.DEGRADED, "exceptions")


@pytest.mark.spec("001.control")
def test_a_daily_loss_is_an_emergency_and_is_latched() -> None:
    """$2,000 lost since the session began; equity that comes back does not end it."""
    world = started(only())
    outputs = world.send(world.account(equity_usd=998_001, ts_ns=NOON_NS))
    assert mode_after(world, outputs)[0] is Mode.LIVE
    outputs = world.send(world.account(equity_usd=998_000, ts_ns=NOON_NS + 1))
    assert mode_after(world, outputs) == (Mode.EMERGENCY, "daily_loss")
    world.send(world.account(equity_usd=1_000_000, ts_ns=NOON_NS + 2))
    assert world.state.mode.mode is Mode.EMERGENCY


@pytest.mark.spec("001.control")
def test_an_account_that_nobody_confirms_is_observed_only() -> None:
    """After five minutes without a report or a reconciliation the books may be wrong."""
    parameters = msgspec.structs.replace(
        only(), mode_causes=ModeCauseParameters(account_age_s_max=300.0, drawdown_share=0.2)
    )
    world = started(parameters)
    world.send(world.account(ts_ns=NOON_NS))
    assert mode_after(world, world.cycle(NOON_NS + 5 * MINUTE_NS, {}))[0] is Mode.LIVE
    assert mode_after(world, world.cycle(NOON_NS + 6 * MINUTE_NS, {})) == (Mode.OBSERVE, "stale_account")
    world.send(world.report("clean", ts_ns=NOON_NS + 6 * MINUTE_NS))
    assert world.state.mode.healthy_since_ns is not None


def test_an_oversized_book_is_an_emergency() -> None:
    """20 % above the gross limit: $600,001 at an equity of $1,000,000 and a limit of .5."""
    world = started(only(), positions={"AAA": 6_000})
    assert world.state.mode.mode is Mode.LIVE
    world = started(only(), positions={"AAA": 6_001})
    assert world.state.mode.mode is Mode.EMERGENCY


def test_a_request_with_a_topic_of_its_own_asks_for_nothing() -> None:
    """Latency without a number counts as late: what cannot be read is never the best case."""
    world = started(only())
    request = ModeRequest(
        id=EventId("7" * 32), cause=EventId("8" * 32), ts_ns=NOON_NS, service="arbiter", mode=Mode.DEGRADED,
        reason="soon", topic="latency",
    )  # fmt: skip
    assert mode_after(world, world.send(request)) == (Mode.DEGRADED, "decision_latency")
    assert world.state.mode.requests == {}


def test_prices_of_the_world_are_whole() -> None:
    """The hand-computed numbers above need a price of exactly $100 and whole shares."""
    intent = intents_of(started(only()).cycle(NOON_NS, {"AAA": 0.9}))["AAA"]
    assert intent.arrival_mid_nano == 100 * PRICE_SCALE
    assert intent.quantity_micro % QUANTITY_SCALE == 0
