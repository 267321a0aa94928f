"""Owns the given/when/then tests of the arbiter's core.

They cover walstreet.domain.arbiter with its parts cycle, cycle_inputs and arbiter_fold.
"""

import msgspec
import numpy as np
import pytest

from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.arbiter_parameters import ArbiterParameters, OrderParameters, config_hash
from walstreet.domain.arbiter_state import DROPPED_FEATURES, PENDING_FEATURES_MAX, UNMATCHED_PREDICTIONS
from walstreet.domain.calibrate import ModelCalibration
from walstreet.domain.cost import CostParameters
from walstreet.domain.decision_record import COLUMN_UNITS, column_values
from walstreet.domain.units import MINUTE_NS
from walstreet.testing.arbiter_world import (
    CLOSE_NS,
    DEFAULT_CALIBRATIONS,
    EQUITY_USD,
    GATES_OFF,
    OPEN_NS,
    ArbiterWorld,
    world_parameters,
)
from walstreet.testing.events_recon import adopt_command, external_order, ledger_correction
from walstreet_events import (
    NANOS_PER_SECOND,
    QUANTITY_SCALE,
    ROOT,
    Decision,
    EventId,
    ExternalOrder,
    IntentBlock,
    Mode,
    ModelStatus,
    ModeState,
    OperatorCommand,
    ProducerEpoch,
    Service,
    Side,
    SymbolStatus,
    Verdict,
    derive_id,
)

NOON_NS = OPEN_NS + 150 * MINUTE_NS
LONG = {"AAA": 0.9}
NO_TRADE_SCORES = {"AAA": 0.0, "BBB": 0.0, "CCC": 0.0}


def started(**options: object) -> ArbiterWorld:
    """Return a world that is LIVE with clean books."""
    world = ArbiterWorld.create()
    world.start(**options)
    return world


def decision_of(outputs: list[object]) -> Decision:
    """Return the one decision among the outputs."""
    (decision,) = [event for event in outputs if isinstance(event, Decision)]
    return decision


def intents_of(outputs: list[object]) -> dict[str, object]:
    """Return the intents by symbol, empty without an intent block."""
    return {intent.symbol: intent for event in outputs if isinstance(event, IntentBlock) for intent in event.intents}


def verdict_of(outputs: list[object], symbol: str = "AAA") -> Verdict:
    """Return one symbol's verdict."""
    decision = decision_of(outputs)
    return decision.verdicts[decision.symbols.index(symbol)]


def value_of(outputs: list[object], column: str, symbol: str = "AAA") -> float:
    """Return one symbol's value of a column."""
    decision = decision_of(outputs)
    return float(column_values(decision, column)[decision.symbols.index(symbol)])


def test_a_clean_start_goes_live_once():
    """The first clean reconciliation with link and feed up gives one ModeState, with its cause."""
    world = started()
    states = [(event, output) for event, outputs in world.tape for output in outputs]
    ((cause, state),) = states
    assert isinstance(state, ModeState)
    assert (state.mode, state.previous, state.reason) == (Mode.LIVE, Mode.OBSERVE, "first_clean_reconciliation")
    assert state.cause == cause.id


def test_a_cycle_by_hand():
    """Score .9 at midday: alpha .9*sigma, cost 2*.8 + impact + fees, an order of .042 of equity at $100."""
    outputs = started().cycle(NOON_NS, LONG)
    decision = decision_of(outputs)
    intent = intents_of(outputs)["AAA"]
    assert decision.verdicts == (Verdict.ACCEPTED, Verdict.NO_PRED, Verdict.NO_PRED)
    assert column_values(decision, "alpha_blended_bps")[0, 0] == pytest.approx(13.5)
    impact = 2 * 15.0 * 78**0.5 * (50_000 / 1e9) ** 0.5
    assert column_values(decision, "cost_bps")[0, 0] == pytest.approx(0.8 * (2.0 + impact) + 2 * (0.5 + 0.2))
    assert value_of(outputs, "chosen_horizon_minutes") == 60.0
    assert value_of(outputs, "weight_limited") == pytest.approx(0.05)
    assert (intent.side, intent.quantity_micro, intent.reducing) == (Side.BUY, 420 * QUANTITY_SCALE, False)
    assert (intent.horizon_minutes, intent.tif_s) == (60, 60)
    assert intent.expires_ns == NOON_NS + 60 * NANOS_PER_SECOND
    assert intent.con_id == 1
    assert decision.equity_nano == EQUITY_USD * 1_000_000_000
    assert decision.config_hash == config_hash(world_parameters(), DEFAULT_CALIBRATIONS)
    assert tuple(column.name for column in decision.columns) == tuple(COLUMN_UNITS)


def test_ids_are_functions_of_their_causes():
    """Decision, block and intent ids follow from the prediction block and the symbol."""
    world = started()
    outputs = world.cycle(NOON_NS, LONG)
    predictions = world.tape[-1][0]
    decision = decision_of(outputs)
    assert decision.id == derive_id(predictions.id, "decision.v1", 0)
    assert intents_of(outputs)["AAA"].id == derive_id(decision.id, "intent:AAA:buy", 0)
    assert all(output.cause == predictions.id for output in outputs)


def test_warm_up_causes_nothing():
    """Warm-up blocks are neither kept nor decided on."""
    world = started()
    block = world.features(NOON_NS, warmup=True)
    assert world.send(block) == []
    assert world.send(world.predictions(block, world.score_rows(LONG))) == []
    assert world.state.pending == {}


def test_no_edge_and_below_the_reserve():
    """An alpha within its cost is ``no_alpha``, one that leaves less than the reserve ``below_theta``."""
    world = started()
    outputs = world.cycle(NOON_NS, {"AAA": 0.05, "BBB": 0.12, "CCC": 0.9})
    assert verdict_of(outputs) is Verdict.NO_ALPHA
    assert verdict_of(outputs, "BBB") is Verdict.BELOW_THETA
    assert verdict_of(outputs, "CCC") is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"quote_age_s": {"AAA": 61.0}}, Verdict.STALE_QUOTE),
        ({"price_usd": {"AAA": 0.0}}, Verdict.STALE_QUOTE),
        ({"sigma_5m_bps": {"AAA": float("nan")}}, Verdict.NO_REF),
        ({"spread_bps": {"AAA": float("nan")}}, Verdict.NO_REF),
    ],
)
def test_a_missing_input_stops_its_symbol_only(options: dict[str, object], verdict: Verdict):
    """One symbol fails closed with its reason, the others go on."""
    world = started()
    world.send(world.clock(NOON_NS))
    block = world.features(NOON_NS, **options)
    world.send(block)
    outputs = world.send(world.predictions(block, world.score_rows({"AAA": 0.9, "BBB": 0.9})))
    assert verdict_of(outputs) is verdict
    assert verdict_of(outputs, "BBB") is Verdict.ACCEPTED


def test_unknown_volume_fails_closed():
    """Without a daily volume in block or reference the cost is unknown, which is ``no_ref``."""
    world = started()
    reference = world.instrument("AAA", con_id=1, sector="S")
    world.send(msgspec.structs.replace(reference, average_daily_volume_micro=0))
    world.send(world.clock(NOON_NS))
    block = world.features(NOON_NS, volume_shares={"AAA": 0})
    world.send(block)
    outputs = world.send(world.predictions(block, world.score_rows(LONG)))
    assert verdict_of(outputs) is Verdict.NO_REF
    assert np.isnan(column_values(decision_of(outputs), "cost_bps")[0, 0])


def test_late_decisions_are_not_sent():
    """A stale bar, a stale prediction, and a decision after the order's expiry give no intent."""
    world = started()
    block = world.features(NOON_NS)
    world.send(block)
    world.send(world.clock(NOON_NS + 61 * NANOS_PER_SECOND))
    outputs = world.send(world.predictions(block, world.score_rows(LONG)))
    assert verdict_of(outputs) is Verdict.STALE_QUOTE
    block = world.features(NOON_NS + MINUTE_NS, quote_age_s={"AAA": -0.0})
    world.send(block)
    world.send(world.clock(NOON_NS + 2 * MINUTE_NS))
    outputs = world.send(world.predictions(block, world.score_rows(LONG)))
    assert verdict_of(outputs) is Verdict.STALE_PRED
    assert not intents_of(outputs)


def test_a_stale_bar_stops_everything():
    """A bar that ended more than 1.5 bars ago is ``stale_bar`` even with quotes confirmed since."""
    world = ArbiterWorld.create(parameters=ArbiterParameters())
    world.start()
    block = world.features(NOON_NS, quote_age_s=dict.fromkeys(world.symbols, -91.0))
    world.send(block)
    world.send(world.clock(NOON_NS + 91 * NANOS_PER_SECOND))
    outputs = world.send(world.predictions(block, world.score_rows(LONG)))
    assert decision_of(outputs).verdicts == (Verdict.STALE_BAR,) * 3


@pytest.mark.parametrize("status", [ModelStatus.QUARANTINED, ModelStatus.FAILED, ModelStatus.LATE])
def test_models_that_are_not_well_give_no_prediction(status: ModelStatus):
    """Their numbers do not count."""
    world = started()
    block = world.features(NOON_NS)
    world.send(block)
    outputs = world.send(world.predictions(block, world.score_rows(LONG), status=status))
    assert verdict_of(outputs) is Verdict.NO_PRED


def test_a_decision_is_made_even_if_nothing_may_trade():
    """Before the first clean reconciliation every symbol is ``not_reconciled``, in OBSERVE."""
    world = ArbiterWorld.create()
    outputs = world.cycle(NOON_NS, LONG)
    decision = decision_of(outputs)
    assert decision.verdicts == (Verdict.NOT_RECONCILED,) * 3
    assert decision.mode is Mode.OBSERVE
    assert len(outputs) == 1


def test_unknown_equity_stops_every_symbol():
    """A net liquidation that the broker did not give is not replaced by an older one."""
    world = started()
    world.send(world.account(equity_usd=None))
    outputs = world.cycle(NOON_NS, LONG)
    assert decision_of(outputs).verdicts == (Verdict.NO_REF,) * 3
    assert decision_of(outputs).equity_nano == 0


def test_predictions_without_their_features_are_decided_closed():
    """A cycle whose feature block is unknown gives a decision without trades and is counted."""
    world = started()
    block = world.features(NOON_NS)
    outputs = world.send(world.predictions(block, world.score_rows(LONG)))
    assert set(decision_of(outputs).verdicts) == {Verdict.STALE_QUOTE}
    assert world.state.counters == {UNMATCHED_PREDICTIONS: 1}


def test_pending_features_are_bounded():
    """Beyond the bound the oldest block is dropped and counted."""
    world = started()
    blocks = [world.features(NOON_NS + index * MINUTE_NS) for index in range(PENDING_FEATURES_MAX + 2)]
    for block in blocks:
        world.send(block)
    assert list(world.state.pending) == [block.id for block in blocks[2:]]
    assert world.state.counters == {DROPPED_FEATURES: 2}


def test_no_second_parent_before_the_first_is_over():
    """A symbol with an order at work is ``pending_order``; once filled it is judged again, now within its band."""
    world = started()
    intent = intents_of(world.cycle(NOON_NS, LONG))["AAA"]
    outputs = world.cycle(NOON_NS + 20 * NANOS_PER_SECOND, LONG)
    assert verdict_of(outputs) is Verdict.PENDING_ORDER
    assert value_of(outputs, "weight_final") == pytest.approx(0.042)
    world.fill_whole(intent, ts_ns=NOON_NS + 30 * NANOS_PER_SECOND)
    outputs = world.cycle(NOON_NS + MINUTE_NS, LONG)
    assert verdict_of(outputs) is Verdict.IN_BAND
    assert value_of(outputs, "weight_current") == pytest.approx(0.042)


def test_a_position_is_held_for_its_horizon_and_then_left():
    """When the signal goes the position stays until its 60 minutes have passed, then it is sold whole."""
    world = started()
    world.fill_whole(intents_of(world.cycle(NOON_NS, LONG))["AAA"], ts_ns=NOON_NS)
    outputs = world.cycle(NOON_NS + 59 * MINUTE_NS, NO_TRADE_SCORES)
    assert verdict_of(outputs) is Verdict.HOLD
    assert not intents_of(outputs)
    outputs = world.cycle(NOON_NS + 60 * MINUTE_NS, NO_TRADE_SCORES)
    exit_intent = intents_of(outputs)["AAA"]
    assert (exit_intent.side, exit_intent.quantity_micro, exit_intent.reducing) == (
        Side.SELL,
        420 * QUANTITY_SCALE,
        True,
    )
    assert (exit_intent.horizon_minutes, exit_intent.alpha_bps) == (60, 0.0)


def test_a_reversed_signal_sells_through_zero():
    """A strong opposite alpha gives one sell that crosses zero and is not called reducing."""
    world = started(positions={"AAA": 300})
    intent = intents_of(world.cycle(NOON_NS, {"AAA": -0.9}))["AAA"]
    assert (intent.side, intent.quantity_micro, intent.reducing) == (Side.SELL, 720 * QUANTITY_SCALE, False)


def test_held_names_outside_the_block_take_up_room():
    """A foreign position is in the record, cannot be traded, and uses up the gross limit."""
    world = started(positions={"ZZZ": 4_900})
    outputs = world.cycle(NOON_NS, {"AAA": 0.9, "BBB": -0.9})
    decision = decision_of(outputs)
    assert decision.symbols == ("AAA", "BBB", "CCC", "ZZZ")
    assert verdict_of(outputs, "ZZZ") is Verdict.NO_REF
    assert value_of(outputs, "weight_final", "ZZZ") == pytest.approx(0.49)
    assert float(np.abs(column_values(decision, "weight_final")).sum()) <= 0.5 + 1e-9


def test_an_unvalued_position_stops_every_entry():
    """A held position without any price makes the room unknown, so nothing grows."""
    world = ArbiterWorld.create()
    opening = world.positions({"ZZZ": 10})
    opening = msgspec.structs.replace(
        opening, positions=tuple(msgspec.structs.replace(item, average_cost_nano=0) for item in opening.positions)
    )
    world.send(opening)
    world.start()
    outputs = world.cycle(NOON_NS, LONG)
    assert verdict_of(outputs) is Verdict.NO_REF
    assert np.isnan(value_of(outputs, "weight_current", "ZZZ"))
    assert not intents_of(outputs)


def test_the_limits_name_themselves():
    """A name at its cap that wants more is ``risk_name``; a full sector that leaves nothing is ``risk_sector``."""
    world = started(positions={"AAA": 500})
    assert verdict_of(world.cycle(NOON_NS, LONG)) is Verdict.RISK_NAME
    world = started(sectors={"AAA": "T", "BBB": "T", "ZZZ": "T"}, positions={"ZZZ": 2_000})
    world.send(world.instrument("ZZZ", con_id=9, sector="T"))
    assert verdict_of(world.cycle(NOON_NS, LONG)) is Verdict.RISK_SECTOR


def test_small_changes_are_not_worth_an_order():
    """Below the smallest notional nothing is sent, except that an exit to flat always is."""
    parameters = ArbiterParameters(gates=GATES_OFF, order=OrderParameters(notional_usd_min=100_000.0))
    world = ArbiterWorld.create(parameters=parameters)
    world.start(positions={"BBB": 3})
    outputs = world.cycle(NOON_NS, {"AAA": 0.9, "BBB": 0.0})
    assert verdict_of(outputs) is Verdict.BELOW_MIN
    assert verdict_of(outputs, "BBB") is Verdict.ACCEPTED
    assert intents_of(outputs)["BBB"].quantity_micro == 3 * QUANTITY_SCALE


def test_observe_only_reduces():
    """With the feed's mode at OBSERVE an entry is ``mode_observe`` while an exit goes out."""
    world = started(positions={"BBB": 100})
    world.send(
        OperatorCommand(
            id=EventId("5" * 32),
            cause=ROOT,
            ts_ns=NOON_NS,
            command="mode",
            arguments={"mode": "observe"},
            operator="me",
        )
    )
    outputs = world.cycle(NOON_NS + MINUTE_NS, {"AAA": 0.9, "BBB": -0.9})
    assert verdict_of(outputs) is Verdict.MODE_OBSERVE
    intent = intents_of(outputs)["BBB"]
    assert (intent.quantity_micro, intent.reducing) == (100 * QUANTITY_SCALE, True)


def test_degraded_halves_targets_and_opens_no_names():
    """A broken farm halves what a held name is sized to, and a new name is refused."""
    world = started(positions={"BBB": 100})
    world.send(world.feed(farm="usfarm.nj", healthy=False))
    outputs = world.cycle(NOON_NS, {"AAA": 0.9, "BBB": 0.9})
    assert decision_of(outputs).mode is Mode.DEGRADED
    assert verdict_of(outputs) is Verdict.MODE_OBSERVE
    full = started(positions={"BBB": 100}).cycle(NOON_NS, {"AAA": 0.9, "BBB": 0.9})
    assert value_of(outputs, "weight_wanted", "BBB") == pytest.approx(value_of(full, "weight_wanted", "BBB") / 2)
    assert verdict_of(outputs, "BBB") is Verdict.ACCEPTED


def test_a_lost_feed_or_link_means_observe():
    """The last healthy farm gone, frozen data, or the order link down each give OBSERVE at once."""
    for event in ("feed", "frozen", "link"):
        world = started()
        builders = {
            "feed": lambda w: w.feed(healthy=False),
            "frozen": lambda w: w.feed(farm="market_data", healthy=False, data_type="frozen"),
            "link": lambda w: w.link(connected=False),
        }
        (state,) = world.send(builders[event](world))
        assert isinstance(state, ModeState)
        assert state.mode is Mode.OBSERVE


def test_a_new_order_link_needs_a_new_reconciliation():
    """After a link that lost data nothing trades until the books are clean again."""
    world = started()
    world.send(world.link(data_lost=True))
    assert verdict_of(world.cycle(NOON_NS, LONG)) is Verdict.NOT_RECONCILED
    world.send(world.report("clean"))
    assert verdict_of(world.cycle(NOON_NS + MINUTE_NS, LONG)) is Verdict.ACCEPTED


def test_emergency_sends_nothing():
    """After panic every verdict is ``mode_emergency``: flattening is execution's."""
    world = started(positions={"AAA": 100})
    world.send(
        OperatorCommand(id=EventId("5" * 32), cause=ROOT, ts_ns=NOON_NS, command="panic", arguments={}, operator="me")
    )
    outputs = world.cycle(NOON_NS + MINUTE_NS, {"AAA": -0.9})
    assert decision_of(outputs).verdicts == (Verdict.MODE_EMERGENCY,) * 3
    assert len(outputs) == 1


def test_halted_and_foreign_symbols_wait():
    """A halted symbol has no live quote; an order that is not ours blocks its symbol until a person adopts it."""
    world = started()
    world.send(SymbolStatus(id=EventId("6" * 32), cause=ROOT, ts_ns=NOON_NS, symbol="AAA", halted=True, detail=""))
    world.send(
        ExternalOrder(
            id=EventId("7" * 32),
            cause=ROOT,
            ts_ns=NOON_NS,
            symbol="BBB",
            perm_id=1,
            client_id=0,
            order_ref="",
            status="Submitted",
            quantity_micro=QUANTITY_SCALE,
        )
    )
    outputs = world.cycle(NOON_NS, {"AAA": 0.9, "BBB": 0.9})
    assert verdict_of(outputs) is Verdict.STALE_QUOTE
    assert verdict_of(outputs, "BBB") is Verdict.PENDING_ORDER
    world.send(world.report("clean"))
    assert verdict_of(world.cycle(NOON_NS + MINUTE_NS, {"BBB": 0.9}), "BBB") is Verdict.PENDING_ORDER
    world.send(adopt_command("BBB", NOON_NS + MINUTE_NS))
    world.send(ledger_correction("BBB", NOON_NS + MINUTE_NS))
    world.send(external_order("BBB", NOON_NS + MINUTE_NS, perm_id=1, status="gone"))
    assert verdict_of(world.cycle(NOON_NS + 2 * MINUTE_NS, {"BBB": 0.9}), "BBB") is Verdict.ACCEPTED


def test_no_entries_before_the_close_and_flat_after():
    """From 15 minutes before the close an entry is refused; from 10 minutes every intraday position is left."""
    world = started(positions={"BBB": 100})
    outputs = world.cycle(CLOSE_NS - 15 * MINUTE_NS, {"AAA": 0.9, "BBB": 0.9})
    assert verdict_of(outputs) is Verdict.NO_ENTRY_WINDOW
    assert not intents_of(outputs)
    outputs = world.cycle(CLOSE_NS - 10 * MINUTE_NS, {"AAA": 0.9, "BBB": 0.9})
    assert verdict_of(outputs) is Verdict.NO_ENTRY_WINDOW
    intent = intents_of(outputs)["BBB"]
    assert (intent.side, intent.quantity_micro, intent.reducing) == (Side.SELL, 100 * QUANTITY_SCALE, True)
    outputs = world.cycle(CLOSE_NS, {"AAA": 0.9, "BBB": 0.9})
    assert set(decision_of(outputs).verdicts) == {Verdict.NO_ENTRY_WINDOW}


def test_an_overnight_horizon_keeps_its_position_over_the_close():
    """A position opened for one day is not flattened."""
    calibrations = (ModelCalibration(model="m390", horizon_minutes=390, slope=1.0, weight=1.0),)
    world = ArbiterWorld.create(calibrations=calibrations)
    world.start()

    def cycle(ts_ns: int, score: float) -> list[object]:
        world.send(world.clock(ts_ns))
        block = world.features(ts_ns)
        world.send(block)
        scores = np.array([[score, np.nan, np.nan]])
        return world.send(world.predictions(block, scores, horizons_minutes=(390,)))

    world.fill_whole(intents_of(cycle(NOON_NS, 0.9))["AAA"], ts_ns=NOON_NS)
    outputs = cycle(CLOSE_NS - 5 * MINUTE_NS, 0.0)
    assert verdict_of(outputs) is Verdict.HOLD
    assert not intents_of(outputs)


def test_the_opening_halves_sizes_and_doubles_the_band():
    """Ten minutes after the open a wanted weight is half of what it is an hour later, at the same costs' edge."""
    early = started().cycle(OPEN_NS + 10 * MINUTE_NS, {"AAA": 0.2})
    assert value_of(early, "weight_wanted") < 0.6 * value_of(
        started().cycle(OPEN_NS + 20 * MINUTE_NS, {"AAA": 0.2}), "weight_wanted"
    )
    half = 0.25 * value_of(early, "weight_allowed")
    assert value_of(early, "band") == pytest.approx(2 * min(0.008, half))


def test_the_epoch_is_signed_into_intents_and_left_out_of_the_digest():
    """The producer's epoch appears in the block, and two lives at different epochs have the same state."""
    world, other = started(), started()
    world.send(
        ProducerEpoch(
            id=EventId("8" * 32),
            cause=ROOT,
            ts_ns=0,
            service=Service.ARBITER.value,
            epoch=4,
            config_hash="",
            previous_chain="",
            previous_seq=0,
        )
    )
    (block,) = [event for event in world.cycle(NOON_NS, LONG) if isinstance(event, IntentBlock)]
    assert block.epoch == 4
    other.cycle(NOON_NS, LONG)
    assert world.state.working == other.state.working
    assert world.core.service is Service.ARBITER


def test_a_malformed_feature_block_is_refused_by_name():
    """An array that does not fit the symbols raises with its name and changes nothing."""
    world = started()
    block = world.features(NOON_NS)
    bad = msgspec.structs.replace(block, bid_nano=msgspec.structs.replace(block.bid_nano, shape=(1,)))
    with pytest.raises(ValueError, match="bid_nano has shape"):
        world.core.evolve(world.state, bad)
    assert world.state.pending == {}


def test_the_core_refuses_calibrations_that_say_nothing_or_too_much():
    """No calibration, or two for the same model and horizon, are errors of the manifest."""
    with pytest.raises(ValueError, match="no model calibration"):
        ArbiterCore(ArbiterParameters(), ())
    twice = (DEFAULT_CALIBRATIONS[0], DEFAULT_CALIBRATIONS[0])
    with pytest.raises(ValueError, match="two calibrations"):
        ArbiterCore(ArbiterParameters(), twice)


def test_the_config_hash_sees_every_parameter_but_not_their_order():
    """Another parameter or calibration changes the hash, another order of calibrations does not."""
    base = config_hash(ArbiterParameters(), DEFAULT_CALIBRATIONS)
    assert config_hash(ArbiterParameters(), DEFAULT_CALIBRATIONS[::-1]) == base
    assert config_hash(ArbiterParameters(cost=CostParameters(fee_bps=0.3)), DEFAULT_CALIBRATIONS) != base
    assert config_hash(ArbiterParameters(), DEFAULT_CALIBRATIONS[:2]) != base


def test_parameters_come_from_plain_values_and_typos_fail():
    """The configuration's dictionary converts, an unknown field is named."""
    parameters = msgspec.convert({"limits": {"name_cap": 0.04}, "size": {"method": "vol_target"}}, ArbiterParameters)
    assert parameters.limits.name_cap == 0.04
    with pytest.raises(msgspec.ValidationError, match="name_cpa"):
        msgspec.convert({"limits": {"name_cpa": 0.04}}, ArbiterParameters)
