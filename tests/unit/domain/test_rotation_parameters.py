"""Ranges of the rotation's parameters."""

from __future__ import annotations

from typing import Any

import pytest

from walstreet.domain.rotation_parameters import RotationParameters


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ema_fast", 0),
        ("vol_window", 1),
        ("corr_window", 1),
        ("top_n", 0),
        ("corr_cap", 1.5),
        ("hold_bonus", -0.1),
        ("max_weight", 1.1),
        ("cash_buffer", -0.1),
        ("band", float("nan")),
        ("regime_column", -2),
        ("regime_factor", 1.5),
    ],
)
def test_values_out_of_range_are_refused_by_name(field: str, value: Any) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=rf"rotation\.{field} is"):
        RotationParameters(**{field: value})


def test_a_floor_above_the_entry_is_refused() -> None:
    """A held name could be sold for the score with which it is bought again."""
    with pytest.raises(ValueError, match="hold_floor"):
        RotationParameters(hold_floor=0.5)
    assert RotationParameters(hold_floor=0.5, min_score=0.5).hold_floor == 0.5
    assert not RotationParameters(hold_floor=0.5, hold_bonus=0.0).keeps_held


def test_macd_windows_out_of_order_are_refused_where_they_are_used() -> None:
    """The gate would mean its opposite."""
    with pytest.raises(ValueError, match="macd_fast"):
        RotationParameters(macd_enabled=True, macd_fast=30)
    assert RotationParameters(macd_fast=30).macd_fast == 30
