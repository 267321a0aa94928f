"""Owns the tests of the history that the conformal gate starts from."""

from __future__ import annotations

import math
import zlib

import msgspec
import numpy as np
import pytest

from walstreet.domain import conformal, conformal_learn
from walstreet.domain.arbiter import ArbiterCore
from walstreet.domain.arbiter_parameters import ArbiterParameters, config_hash
from walstreet.domain.conformal_alpha import alpha_z, outcome_interval
from walstreet.domain.conformal_history import (
    VERSION,
    ConformalHistory,
    HistoryError,
    decode_history,
    encode_history,
    history_rows,
    models_digest,
    seed_from,
    unpacked,
)
from walstreet.domain.conformal_parameters import ConformalParameters
from walstreet.domain.conformal_state import ConformalState
from walstreet.testing.arbiter_world import DEFAULT_CALIBRATIONS, GATES_OFF

pytestmark = pytest.mark.spec("000.1")
PARAMETERS = ConformalParameters()
HORIZONS = np.array([5, 15], dtype=np.int64)


def made(rows: int = 400, symbols: int = 8, slope: float = 1.0) -> ConformalHistory:
    """Return a history in which outcomes follow the scores with ``slope``, and much noise."""
    rng = np.random.default_rng(3)
    scores = rng.normal(scale=0.3, size=(rows, symbols))
    outcomes = slope * scores + rng.normal(size=(rows, symbols))
    scores[0, 0] = np.nan
    return ConformalHistory(
        version=VERSION,
        market="synthetic planted=0.22",
        models=models_digest([("a.txt", "1"), ("b.onnx", "2")]),
        made_from="nowhere",
        horizons=(history_rows(5, scores, outcomes),),
    )


def test_what_is_written_is_read() -> None:
    """Thousandths of sigma survive, a missing value stays missing, and equal histories have equal bytes."""
    history = made()
    data = encode_history(history)
    assert decode_history(data) == history
    assert encode_history(decode_history(data)) == data
    rows = history_rows(5, np.array([[0.1234, np.nan, 99.0]]), np.array([[-0.0004, 1.0, np.inf]]))
    assert unpacked(rows.scores, rows)[0].tolist()[0] == pytest.approx(0.123)
    assert np.isnan(unpacked(rows.scores, rows)[0, 1])
    assert unpacked(rows.scores, rows)[0, 2] == pytest.approx(32.767)
    assert unpacked(rows.outcomes, rows)[0, 0] == 0.0
    assert np.isnan(unpacked(rows.outcomes, rows)[0, 2])


def test_the_order_of_the_models_does_not_matter() -> None:
    """The digest names a set of files; another hash of one of them is another set."""
    assert models_digest([("a", "1"), ("b", "2")]) == models_digest([("b", "2"), ("a", "1")])
    assert models_digest([("a", "1"), ("b", "2")]) != models_digest([("a", "1"), ("b", "3")])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 9}, "version is 9"),
        ({"horizons": (msgspec.structs.replace(made().horizons[0], horizon_minutes=7),)}, "horizon of 7 minutes"),
        ({"horizons": (msgspec.structs.replace(made().horizons[0], rows=399),)}, "bytes where 6384 belong"),
        ({"horizons": (msgspec.structs.replace(made().horizons[0], symbols=0),)}, "are outside"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], text: str) -> None:
    """Version, horizon and sizes are checked before a number is read."""
    with pytest.raises(HistoryError, match=text):
        decode_history(encode_history(msgspec.structs.replace(made(), **change)))


@pytest.mark.parametrize("data", [b"", b"abc", zlib.compress(b"abc"), encode_history(made())[:-40]])
def test_another_file_is_refused(data: bytes) -> None:
    """A text, an empty file, or half a history is no history."""
    with pytest.raises(HistoryError, match="make it again"):
        decode_history(data)


def test_a_history_opens_the_gate_and_one_without_skill_does_not() -> None:
    """400 decision times with a slope of 1 prove a score of 1 at a cost of .1 sigma; a slope of 0 proves nothing."""
    scores, cost = np.full((2, 3), 1.0), np.full((2, 3), 0.1)
    for slope, opens in ((1.0, True), (0.0, False)):
        state = ConformalState()
        seed_from(state, made(slope=slope), PARAMETERS)
        found = conformal.gate(state, horizons_minutes=HORIZONS, scores=scores, cost_sigma=cost, parameters=PARAMETERS)
        assert found.conf_long[0].all() == opens
        assert (found.reason[1] == conformal.ConformalReason.UNCALIBRATED).all()
        z = alpha_z(state, HORIZONS, scores, PARAMETERS)
        # Eight symbols of 400 minutes with a spread of .3: a standard error of about 1 / (.3 * sqrt(3200)) = .06.
        assert 5.0 < z[0, 0] < 40.0
        assert np.isnan(z[1]).all()
        lower, upper = outcome_interval(state, HORIZONS, scores)
        # Forecasts without skill add their own spread to that of the outcomes.
        spread = math.sqrt(1.0 + (1.0 - slope) ** 2 * 0.3**2)
        assert upper[0, 0] - lower[0, 0] == pytest.approx(2 * 1.2816 * spread, abs=0.15)
        assert np.isnan(lower[1]).all()


def test_a_seed_comes_first_and_live_outcomes_follow() -> None:
    """What was learned already is not overwritten; later outcomes are judged and join the ring."""
    history = made()
    state = ConformalState()
    seed_from(state, history, PARAMETERS)
    horizon = state.horizons[5]
    assert (horizon.ring.rows, horizon.ring.pairs, horizon.judged) == (400, 3_199, 0)
    with pytest.raises(ValueError, match="come first"):
        seed_from(state, history, PARAMETERS)
    conformal_learn.learn(
        state,
        horizon_minutes=5,
        ts_ns=1,
        now_ns=2,
        scores=np.array([0.1, 0.2]),
        outcomes=np.array([0.0, 9.0]),
        parameters=PARAMETERS,
    )
    assert (horizon.ring.rows, horizon.judged, horizon.missed[0]) == (401, 2, [0, 1])


def test_a_long_history_keeps_its_newest_rows() -> None:
    """More rows than the window: the oldest are never read."""
    parameters = ConformalParameters(window_decision_times=120, disjoint_windows_min=20)
    state = ConformalState()
    seed_from(state, made(), parameters)
    rows = made().horizons[0]
    np.testing.assert_array_equal(
        state.horizons[5].ring.chronological(state.horizons[5].ring.outcomes)[-1], unpacked(rows.outcomes, rows)[-1]
    )
    assert state.horizons[5].ring.rows == 120


def test_every_decision_names_the_history_it_started_from() -> None:
    """Two histories are two configurations, and none is a third."""
    parameters = ArbiterParameters(gates=GATES_OFF)
    hashes = {config_hash(parameters, DEFAULT_CALIBRATIONS, history) for history in (None, made(), made(slope=0.0))}
    assert len(hashes) == 3
    core = ArbiterCore(parameters, DEFAULT_CALIBRATIONS, history=made())
    assert core.initial().learning.conformal.horizons[5].calibrated
