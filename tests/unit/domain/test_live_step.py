"""Owns the tests of document 003's ``live_step``, its own test among them, and of the profiles that go with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from walstreet.adapters.model_zoo import load_zoo
from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.barrier import BarrierParameters
from walstreet.domain.calibrate import ModelCalibration
from walstreet.domain.live_predictions import predict_all
from walstreet.domain.live_step import MarketData, explain_step, live_step
from walstreet.domain.model_manifest import Family, FileFormat, InputKind, ModelEntry, Strategy, Target
from walstreet.features import FEATURE_COUNT, FEATURES, FeatureParameters, schema_hash
from walstreet.runtime.cores import calibrations_of
from walstreet.runtime.settings import Settings, load_settings

pytestmark = pytest.mark.spec("003.live_step", "003.config", "001.config")

ROOT = Path(__file__).parents[3]
SCHEMA = schema_hash(FEATURES, FeatureParameters(), bar_ns=60_000_000_000)
SYMBOLS = ("AAPL", "GOOGL", "MSFT")
WIDTH = 4


def profile(name: str) -> Settings:
    """Return the settings of base.yaml and a profile."""
    return load_settings([ROOT / "config" / "base.yaml", ROOT / "config" / name], environment={})


LIVE = profile("live_trading.yaml").arbiter


class ScriptedZoo:
    """Models whose answers are plain functions of the feature rows."""

    def __init__(self, *members: tuple[int, Target, Callable[[np.ndarray], np.ndarray]], length: int = 0) -> None:
        self._answers = [answer for _, _, answer in members]
        self._entries = tuple(
            ModelEntry(
                name=f"m{index}", family=Family.MLP, strategy=Strategy.SINGLE_TASK, horizon_minutes=horizon,
                target=target, input_kind=InputKind.SEQUENCE if length else InputKind.TABULAR, sequence_length=length,
                file_format=FileFormat.ONNX, file="f", sha256="0", schema_hash="0", calibration_slope=1.0,
                score_sigma=1.0, ic_in_sample=0.1, ic_out_of_sample=0.1,
                weight_oof=1.0 if target is Target.RETURN else 0.0,
                base_rate=0.0 if target is Target.RETURN else 0.4, probe_outputs=(), training_first="",
                training_last="", code_version="",
            )
            for index, (horizon, target, _) in enumerate(members)
        )  # fmt: skip

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """Return the models."""
        return self._entries

    @property
    def schema_hash(self) -> str:
        """Return a schema."""
        return "0"

    @property
    def feature_count(self) -> int:
        """Return F."""
        return WIDTH

    def predict(self, model_index: int, matrix: np.ndarray) -> np.ndarray:
        """Return one value per row."""
        return self._answers[model_index](matrix)


def first(matrix: np.ndarray) -> np.ndarray:
    """Answer with the first feature, so that a test chooses every score."""
    return matrix[:, 0].copy()


def returns(*horizons: int) -> ScriptedZoo:
    """Return a zoo of return models that answer with the first feature."""
    return ScriptedZoo(*((horizon, Target.RETURN, first) for horizon in horizons))


def calibrations(zoo: ScriptedZoo) -> tuple[ModelCalibration, ...]:
    """Return slope 1 and weight 1 for every return model."""
    return tuple(
        ModelCalibration(model=entry.name, horizon_minutes=entry.horizon_minutes, slope=1.0, weight=1.0)
        for entry in zoo.entries
        if entry.target is Target.RETURN
    )


def market(scores: dict[str, float], **changes: Any) -> MarketData:
    """Return document 003's market data with chosen scores."""
    data: dict[str, Any] = {
        "symbols": list(scores),
        "features": {symbol: np.array([score, 0.0, 0.0, 0.0]) for symbol, score in scores.items()},
        "spreads": dict(zip(scores, [1.5, 2.0, 1.8] * 10, strict=False)),
        "vol_short": dict(zip(scores, [0.18, 0.22, 0.20] * 10, strict=False)),
        "participation": dict(zip(scores, [0.01, 0.008, 0.012] * 10, strict=False)),
    }
    return MarketData(**(data | changes))


def step(data: MarketData, current: dict[str, float], zoo: ScriptedZoo, **changes: Any) -> dict[str, float]:
    """Run ``live_step`` with the live_trading profile."""
    arguments: dict[str, Any] = {"parameters": LIVE} | changes
    return live_step(data, current, models=zoo, calibrations=calibrations(zoo), **arguments)


# ------------------------------------------------------------------------------------------ document 003's test


def document_test(target_weights: dict[str, float]) -> None:
    """Assert what document 003's ``test_live_integration`` asserts, word for word."""
    assert len(target_weights) == 3
    assert all(abs(w) <= 0.05 for w in target_weights.values())
    assert abs(sum(target_weights.values())) <= 0.1


def test_document_003_with_the_shipped_zoo():
    """The document's own test: its market data, generated features, the shipped models, its caps, flat before."""
    zoo = load_zoo(ROOT / "models", schema_hash=SCHEMA, feature_count=FEATURE_COUNT)
    random = np.random.default_rng(0)
    market_data = MarketData(
        symbols=["AAPL", "GOOGL", "MSFT"],
        features={symbol: np.clip(random.standard_normal((60, FEATURE_COUNT)), -3.0, 3.0) for symbol in SYMBOLS},
        spreads={"AAPL": 1.5, "GOOGL": 2.0, "MSFT": 1.8},
        vol_short={"AAPL": 0.18, "GOOGL": 0.22, "MSFT": 0.20},
        participation={"AAPL": 0.01, "GOOGL": 0.008, "MSFT": 0.012},
    )
    current_weights = {"AAPL": 0.0, "GOOGL": 0.0, "MSFT": 0.0}
    manifest_calibrations = calibrations_of(zoo._manifest)
    result = explain_step(
        market_data, current_weights, models=zoo, calibrations=manifest_calibrations, parameters=LIVE,
        barrier=BarrierParameters(),
    )  # fmt: skip
    document_test(result.target_weights)
    assert result.skipped_models == {}
    assert np.isfinite(result.alpha_blended_bps).all()
    assert result.movable.all()


def test_document_003_with_scores_that_trade():
    """Three strong longs would be .15 net: the limits scale them to the document's .1, so its test is not empty."""
    weights = step(market(dict.fromkeys(SYMBOLS, 2.0)), dict.fromkeys(SYMBOLS, 0.0), returns(5, 15))
    document_test(weights)
    assert sum(weights.values()) == pytest.approx(0.1 - 3 * 0.008, abs=1e-9)
    assert min(weights.values()) > 0.0


# --------------------------------------------------------------------------------------------------- by hand


def test_one_symbol_by_hand():
    """Score 2 at 5 m: sigma = 1800/sqrt(252*78) = 12.839 bps, alpha 25.68.

    Linear cost: .5*1.5 + (.3 + .1)*12.839 + .1*.01^.6 = .75 + 5.1355 + .0063 = 5.8918; net 19.79 clears .5*1.5 + 2.
    Alone it gets the gross of .5, the cap of .05, and the band's edge of .05 - .008 = .042.
    """
    zoo = returns(5)
    result = explain_step(market({"AAPL": 2.0}), {}, models=zoo, calibrations=calibrations(zoo), parameters=LIVE)
    sigma = 1_800.0 / math.sqrt(252 * 78)
    assert sigma == pytest.approx(12.8389, abs=1e-4)
    assert result.alpha_blended_bps[0, 0] == pytest.approx(2 * sigma)
    cost = 0.75 + 0.4 * sigma + 0.1 * 0.01**0.6
    assert result.cost_bps[0, 0] == pytest.approx(cost)
    assert result.choice.net_bps[0, 0] == pytest.approx(2 * sigma - cost)
    assert result.weight_sized[0] == pytest.approx(0.5)
    assert result.target_weights == {"AAPL": pytest.approx(0.042)}


def test_alphas_are_not_demeaned():
    """Z = (2, 1, -1) after equal costs keeps two longs and one short; demeaning would have made the second flat."""
    same = {"spreads": dict.fromkeys(SYMBOLS, 0.0), "vol_short": dict.fromkeys(SYMBOLS, 0.2),
            "participation": dict.fromkeys(SYMBOLS, 0.0)}  # fmt: skip
    weights = step(market({"AAPL": 2.4, "GOOGL": 1.4, "MSFT": -1.4}, **same), {}, returns(60))
    assert [math.copysign(1.0, weights[symbol]) for symbol in SYMBOLS] == [1.0, 1.0, -1.0]
    assert weights["GOOGL"] == pytest.approx(-weights["MSFT"])


def test_a_missing_input_keeps_the_weight_and_uses_room():
    """Without a spread, volatility, participation or features a held symbol stays as it is; the others trade."""
    zoo = returns(5)
    for field in ("spreads", "vol_short", "participation", "features"):
        data = market({"AAPL": 2.0, "GOOGL": 2.0, "MSFT": -2.0})
        del data[field]["AAPL"]
        weights = step(data, {"AAPL": 0.03}, zoo)
        assert weights["AAPL"] == 0.03
        assert weights["GOOGL"] > 0.0 > weights["MSFT"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 1e300])
def test_a_broken_input_is_a_missing_one(value: float):
    """Not finite, negative or absurd volatility fails closed for its symbol only."""
    data = market({"AAPL": 2.0, "GOOGL": 2.0})
    data["vol_short"]["AAPL"] = value
    weights = step(data, {}, returns(5))
    assert weights["AAPL"] == 0.0
    assert weights["GOOGL"] > 0.0


def test_a_held_symbol_without_edge_goes_to_zero():
    """A score within its cost has the target 0, and 0 is traded to 0, not to a band's edge."""
    assert step(market({"AAPL": 0.01}), {"AAPL": 0.004}, returns(5)) == {"AAPL": 0.0}


def test_a_held_symbol_outside_the_market_data_is_kept():
    """The step works on the union of wanted and held names."""
    weights = step(market({"AAPL": 2.0}), {"TSLA": -0.02, "IBM": 0.0}, returns(5))
    assert weights["TSLA"] == -0.02
    assert list(weights) == ["AAPL", "TSLA"]


def test_small_differences_are_not_traded():
    """A weight within .008 of its target of .05 stays."""
    assert step(market({"AAPL": 2.0}), {"AAPL": 0.045}, returns(5)) == {"AAPL": 0.045}


def test_round_trip_costs_need_a_price():
    """The default cost model has a fee per share: without prices nothing trades, with them it does."""
    parameters = ArbiterParameters()
    data = market({"AAPL": 2.0})
    assert step(data, {}, returns(60), parameters=parameters) == {"AAPL": 0.0}
    data["prices"] = {"AAPL": 180.0}
    assert step(data, {}, returns(60), parameters=parameters)["AAPL"] > 0.0


# -------------------------------------------------------------------------------------------------- the models


def constant(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a model that says the same of everybody."""
    return lambda matrix: np.full(len(matrix), value)


def failing(matrix: np.ndarray) -> np.ndarray:
    """Fail as a model with a broken file would."""
    raise RuntimeError("no weights")


@pytest.mark.parametrize(
    "broken", [failing, constant(math.nan), lambda matrix: np.zeros(len(matrix) + 1)], ids=["raises", "nan", "shape"]
)
def test_a_failing_model_is_skipped_and_named(broken: Callable[[np.ndarray], np.ndarray]):
    """The others decide as if it were not there, and the step says which one and why."""
    zoo = ScriptedZoo((5, Target.RETURN, first), (5, Target.RETURN, broken))
    data = market({"AAPL": 2.0})
    result = explain_step(data, {}, models=zoo, calibrations=calibrations(zoo), parameters=LIVE)
    assert list(result.skipped_models) == ["m1"]
    assert result.target_weights == step(data, {}, returns(5))


def test_without_any_answer_nothing_moves():
    """No prediction is not a prediction of zero: holdings stay."""
    zoo = ScriptedZoo((5, Target.RETURN, failing))
    assert step(market({"AAPL": 2.0}), {"AAPL": 0.03}, zoo) == {"AAPL": 0.03}


def test_a_probability_outside_zero_and_one_is_no_answer():
    """A barrier model that says 1.5 is skipped."""
    zoo = ScriptedZoo((5, Target.PEAK, constant(1.5)))
    predictions = predict_all(zoo, ["AAPL"], {"AAPL": np.zeros(WIDTH)})
    assert "1.5" in predictions.skipped["m0"]


def test_sequence_models_read_the_newest_rows():
    """Of five rows a model of length three sees the last three; a symbol with two rows gets no answer."""
    seen = []

    def remember(matrix: np.ndarray) -> np.ndarray:
        seen.append(matrix)
        return matrix[:, -1, 0]

    zoo = ScriptedZoo((5, Target.RETURN, remember), length=3)
    rows = np.arange(20.0).reshape(5, WIDTH)
    block = predict_all(zoo, ["AAPL", "IBM"], {"AAPL": rows, "IBM": rows[:2]}).block
    assert seen[0].shape == (1, 3, WIDTH)
    assert seen[0][0].tolist() == rows[-3:].tolist()
    assert block.values.array()[0].tolist() == pytest.approx([16.0, math.nan], nan_ok=True)


def test_features_of_a_wrong_width_are_the_callers_mistake():
    """They are refused with the shape that came and the one that is needed."""
    with pytest.raises(ValueError, match=r"features of AAPL have shape \(3,\); the models take \(4,\)"):
        predict_all(returns(5), ["AAPL"], {"AAPL": np.zeros(3)})


def test_no_calibration_and_broken_weights_are_refused():
    """Both are mistakes of the caller."""
    zoo = returns(5)
    with pytest.raises(ValueError, match="no model calibration"):
        live_step(market({"AAPL": 1.0}), {}, models=zoo, calibrations=(), parameters=LIVE)
    with pytest.raises(ValueError, match=r"current_weights\['AAPL'\] is nan"):
        step(market({"AAPL": 1.0}), {"AAPL": math.nan}, zoo)


def test_an_empty_market_decides_nothing():
    """No symbols, no weights."""
    assert step(market({}), {}, returns(5)) == {}


# ---------------------------------------------------------------------------------------------------- barriers


def with_barriers(peak: float, valley: float) -> ScriptedZoo:
    """Return a return model and two barrier models with a base rate of .4."""
    return ScriptedZoo(
        (5, Target.RETURN, first), (5, Target.PEAK, constant(peak)), (15, Target.VALLEY, constant(valley))
    )


def test_base_rates_leave_the_book_alone():
    """Probabilities equal to their base rate change nothing."""
    data, zoo = market({"AAPL": 2.0, "MSFT": -2.0}), with_barriers(0.4, 0.4)
    assert step(data, {}, zoo, barrier=BarrierParameters()) == pytest.approx(step(data, {}, zoo))


def test_peak_risk_blocks_longs_and_valley_risk_shorts():
    """P .7 at a base rate of .4 is p* = .7*.6/(.7*.6 + .4*.3) = .778 > .60."""
    data = market({"AAPL": 2.0, "MSFT": -2.0})
    peak = step(data, {}, with_barriers(0.7, 0.4), barrier=BarrierParameters())
    valley = step(data, {}, with_barriers(0.4, 0.7), barrier=BarrierParameters())
    assert peak["AAPL"] == 0.0
    assert peak["MSFT"] < 0.0
    assert valley["MSFT"] == 0.0
    assert valley["AAPL"] > 0.0


def test_a_blocked_long_is_kept_and_never_enlarged():
    """Holding .02 while .05 is wanted stays .02; without the block it would grow."""
    data = market({"AAPL": 2.0})
    assert step(data, {"AAPL": 0.02}, with_barriers(0.7, 0.4), barrier=BarrierParameters()) == {"AAPL": 0.02}
    assert step(data, {"AAPL": 0.02}, with_barriers(0.4, 0.4), barrier=BarrierParameters())["AAPL"] > 0.02


def test_a_blocked_long_still_closes_a_short():
    """Wanting long under peak risk while short ends flat."""
    data = market({"AAPL": 2.0})
    assert step(data, {"AAPL": -0.02}, with_barriers(0.7, 0.4), barrier=BarrierParameters()) == {"AAPL": 0.0}


def test_the_soft_gate_shrinks_weights_below_the_hard_threshold():
    """P .45 at a base rate of .4 has p* = .551: G = .449*sqrt(.75), over .5*sqrt(.75) that is .898 of .05."""
    weights = step(market({"AAPL": 2.0}), {}, with_barriers(0.45, 0.4), barrier=BarrierParameters())
    rebased = 0.45 * 0.6 / (0.45 * 0.6 + 0.4 * 0.55)
    assert weights["AAPL"] == pytest.approx(0.05 * (1 - rebased) / 0.5 - 0.008)


# ---------------------------------------------------------------------------------------------------- profiles


def test_live_trading_profile_has_document_003s_values():
    """The profile loads against the schema and says what the document's example says."""
    assert LIVE.cost.model == "linear"
    assert LIVE.cost.linear_coefficients == "document_003"
    assert (LIVE.arbitration.method, LIVE.arbitration.softmax_beta, LIVE.arbitration.best_share) == ("winner", 2.0, 0.7)
    assert (LIVE.size.method, LIVE.size.gross_target, LIVE.size.z_max) == ("proportional", 0.5, 3.0)
    assert (LIVE.limits.name_cap, LIVE.limits.net_max, LIVE.band.band_max) == (0.05, 0.1, 0.008)


def test_ibkr_enhanced_profile_is_the_defaults_written_out():
    """The profile loads, names only keys that exist, and changes nothing against base.yaml."""
    base = load_settings([ROOT / "config" / "base.yaml"], environment={})
    assert msgspec.to_builtins(profile("ibkr_enhanced.yaml")) == msgspec.to_builtins(base)
