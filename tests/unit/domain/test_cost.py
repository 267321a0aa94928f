"""Owns the tests of market impact and round-trip cost."""

import dataclasses

import numpy as np
import pytest

from walstreet.domain.cost import CostInputs, CostParameters, round_trip_cost_bps
from walstreet.domain.impact import almgren_permanent_bps, almgren_temporary_bps, square_root_bps

pytestmark = pytest.mark.spec("002.components")

HORIZONS = np.array([5, 20])


def inputs(**changes: object) -> CostInputs:
    """Return one symbol's inputs: $100, spread 2 bps, 1 % of volume, 160 bps a day."""
    base = CostInputs(
        spread_bps=np.array([2.0]),
        sigma_5m_bps=np.array([10.0]),
        sigma_day_bps=np.array([160.0]),
        price_usd=np.array([100.0]),
        daily_volume_shares=np.array([1e6]),
        shares_outstanding=np.array([16e6]),
        order_usd=np.array([1e6]),
        session_multiplier=1.0,
    )
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("sigma_bps", "volume", "outstanding", "permanent_bps", "temporary_bps", "total_bps"),
    [
        (157.0, 6.561e6, 1_728e6, 20, (22, 15, 8), (32, 25, 18)),
        (226.0, 1.929e6, 168e6, 22, (32, 21, 12), (43, 32, 23)),
    ],
    ids=["IBM", "DRI"],
)
def test_almgren_reproduces_the_papers_worked_examples(
    sigma_bps: float,
    volume: float,
    outstanding: float,
    permanent_bps: int,
    temporary_bps: tuple[int, ...],
    total_bps: tuple[int, ...],
):
    """10 % of a day's volume within .1, .2 and .5 days costs what Almgren et al. (2005) print, to the basis point."""
    sigma, share = np.array([sigma_bps]), np.array([0.1])
    permanent = almgren_permanent_bps(sigma, share, inverse_turnover_days=np.array([outstanding / volume]))[0]
    assert round(permanent) == permanent_bps
    for days, temporary_expected, total_expected in zip((0.1, 0.2, 0.5), temporary_bps, total_bps, strict=True):
        temporary = almgren_temporary_bps(sigma, share, days=days)[0]
        assert round(temporary) == temporary_expected
        assert round(permanent / 2 + temporary) == total_expected


def test_square_root_impact_by_hand():
    """1 % of volume at 160 bps a day and Y = 1 moves the price 16 bps."""
    assert square_root_bps(np.array([160.0]), np.array([0.01]), coefficient=1.0)[0] == pytest.approx(16.0)


def test_round_trip_by_hand():
    """Spread 2 + fees 2*(.5+.2) + impact 2*16 are 35.4 bps, the same at every horizon."""
    cost = round_trip_cost_bps(inputs(), HORIZONS, CostParameters())
    assert cost.shape == (2, 1)
    assert cost[:, 0].tolist() == pytest.approx([35.4, 35.4])


def test_session_multiplier_leaves_fees_alone():
    """At 1.5 only spread and impact grow: 1.5*34 + 1.4."""
    cost = round_trip_cost_bps(inputs(session_multiplier=1.5), HORIZONS, CostParameters())
    assert cost[0, 0] == pytest.approx(52.4)


def test_almgren_round_trip_charges_permanent_impact_once():
    """Both legs pay the temporary part, the entry alone half the permanent one (Theta/V = 16, so its root is 2)."""
    parameters = CostParameters(impact="almgren", execution_minutes=3.9)
    cost = round_trip_cost_bps(inputs(), HORIZONS, parameters)
    temporary = 0.142 * 160.0 * 1.0**0.6
    permanent = 0.314 * 160.0 * 0.01 * 2.0
    assert cost[0, 0] == pytest.approx(2.0 + 1.4 + 2 * temporary + 0.5 * permanent)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("document_000", (2.0 + 1.5 + 0.01**0.6, 2.0 + 3.0 + 0.01**0.6)),
        ("document_003", (1.0 + 4.0 + 0.1 * 0.01**0.6, 1.0 + 8.0 + 0.1 * 0.01**0.6)),
    ],
)
def test_linear_presets_are_the_documents_own(preset: str, expected: tuple[float, float]):
    """k1*spread + k2*sigma_h + k3*participation^.6, document 003 with its timing penalty of .1*sigma_h."""
    parameters = CostParameters(model="linear", linear_coefficients=preset)
    assert round_trip_cost_bps(inputs(), HORIZONS, parameters)[:, 0].tolist() == pytest.approx(list(expected))


@pytest.mark.parametrize(
    "missing",
    ["spread_bps", "sigma_day_bps", "price_usd", "daily_volume_shares", "order_usd"],
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_missing_input_never_gives_a_cost(missing: str, value: float):
    """A missing or senseless input makes the cost NaN, never small."""
    assert np.all(np.isnan(round_trip_cost_bps(inputs(**{missing: np.array([value])}), HORIZONS, CostParameters())))


def test_unknown_shares_outstanding_matter_to_almgren_only():
    """Without Theta the square root works and Almgren's permanent part fails closed."""
    unknown = inputs(shares_outstanding=np.array([np.nan]))
    assert np.all(np.isfinite(round_trip_cost_bps(unknown, HORIZONS, CostParameters())))
    assert np.all(np.isnan(round_trip_cost_bps(unknown, HORIZONS, CostParameters(impact="almgren"))))
