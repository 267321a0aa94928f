"""Owns the form of a decision record: verdicts, self-describing columns and intents as events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from walstreet.domain.units import BoolArray, FloatArray, IntArray
from walstreet_events import Column, Decision, Verdict, float_block

VERDICTS: tuple[Verdict, ...] = tuple(Verdict)
UNDECIDED = -1
_CODE = {verdict: code for code, verdict in enumerate(VERDICTS)}

COLUMN_UNITS: dict[str, str] = {
    "spread_bps": "bps",
    "mid_usd": "usd",
    "sigma_5m_bps": "bps",
    "sigma_day_bps": "bps",
    "fresh_quote": "flag",
    "fresh_prediction": "flag",
    "alpha_raw_bps": "bps",
    "alpha_blended_bps": "bps",
    "blend_weight_present": "weight",
    "sigma_horizon_bps": "bps",
    "cost_bps": "bps",
    "cost_correction_bps": "bps",
    "slippage_modelled_bps": "bps",
    "conf_lower_bps": "bps",
    "conf_upper_bps": "bps",
    "conf_pass": "flag",
    "outcome_lower_bps": "bps",
    "outcome_upper_bps": "bps",
    "alpha_z": "sigma",
    "net_bps": "bps",
    "reserve_bps": "bps",
    "session_fraction": "share",
    "imbalance": "share",
    "last_return_bps": "bps",
    "horizon_candidate": "flag",
    "horizon_probability": "probability",
    "chosen_horizon_minutes": "minutes",
    "alpha_final_bps": "bps",
    "z": "sigma",
    "wanted": "flag",
    "weight_wanted": "weight",
    "weight_limited": "weight",
    "volatility_book_bps": "bps",
    "cluster": "index",
    "barrier_peak_long": "probability",
    "barrier_valley_long": "probability",
    "exit_cap_shares": "shares",
    "stop_usd": "usd",
    "stop_hit": "flag",
    "weight_gated": "weight",
    "weight_allowed": "weight",
    "weight_current": "weight",
    "band": "weight",
    "weight_banded": "weight",
    "weight_final": "weight",
    "netting_wanted_usd": "usd",
    "netting_churn": "share",
    "netting_reason": "code",
    "regime_switch": "flag",
    "turbulent": "flag",
    "sweep": "flag",
    "rebalance_reason": "code",
    "netting_sent_usd": "usd",
    "netting_opening_usd": "usd",
    "netting_gross_usd": "usd",
    "quantity_shares": "shares",
}
"""Every column of a record with its unit, in the order of the pipeline."""


class VerdictBoard:
    """Collects one verdict per symbol: the first step that stops a symbol keeps it."""

    def __init__(self, count: int) -> None:
        self.codes: IntArray = np.full(count, UNDECIDED, dtype=np.int64)

    def stop(self, where: BoolArray, verdict: Verdict) -> None:
        """Give ``verdict`` to the symbols in ``where`` that have none yet."""
        self.codes[(self.codes == UNDECIDED) & where] = _CODE[verdict]

    def stop_all(self, verdict: Verdict) -> None:
        """Give ``verdict`` to every symbol that has none yet."""
        self.codes[self.codes == UNDECIDED] = _CODE[verdict]

    def replace(self, where: BoolArray, verdict: Verdict) -> None:
        """Give ``verdict`` to the symbols in ``where`` whatever they had."""
        self.codes[where] = _CODE[verdict]

    def reopen(self, where: BoolArray) -> None:
        """Let the symbols in ``where`` go on: something other than an opinion decides about them."""
        self.codes[where] = UNDECIDED

    def has(self, *verdicts: Verdict) -> BoolArray:
        """Return where the verdict is one of ``verdicts``."""
        return np.isin(self.codes, [_CODE[verdict] for verdict in verdicts])

    @property
    def stopped(self) -> BoolArray:
        """Return where a verdict has been given."""
        stopped: BoolArray = self.codes != UNDECIDED
        return stopped

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return the verdicts; every symbol must have one."""
        assert bool(np.all(self.stopped)), "a symbol left the cycle without a verdict"
        return tuple(VERDICTS[code] for code in self.codes.tolist())


def columns_of(values: dict[str, FloatArray]) -> tuple[Column, ...]:
    """Return the record's columns; every name must be known and present."""
    assert values.keys() == COLUMN_UNITS.keys(), sorted(values.keys() ^ COLUMN_UNITS.keys())
    return tuple(Column(name=name, unit=unit, values=float_block(values[name])) for name, unit in COLUMN_UNITS.items())


def column_values(decision: Decision, name: str) -> FloatArray:
    """Return one column of a recorded decision.

    Raises:
        ValueError: The record has no such column.
    """
    for column in decision.columns:
        if column.name == name:
            return column.values.array()
    raise ValueError(f"decision {decision.id} has no column {name!r}; it has {_names(decision.columns)}")


def _names(columns: Sequence[Column]) -> list[str]:
    return [column.name for column in columns]
