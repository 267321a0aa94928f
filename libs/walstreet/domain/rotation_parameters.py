"""Owns what can be chosen about the rotation of ETFs; every rule of the strategy reads its numbers from here."""

from __future__ import annotations

from typing import Literal

import msgspec

from walstreet.domain.bounds import require_between, require_ordered

WINDOW_MAX = 2_000
"""Longest window in bars, about eight years: a longer one comes from a broken argument."""
NAMES_MAX = 500
"""Most names held at once; equal risk contribution solves one equation a name."""
SCORE_ABS_MAX = 1_000.0
NO_COLUMN = -1
"""Stands for the column of the regime's symbol where there is no overlay."""

WeightMethod = Literal["inv_vol", "hrp", "erc"]
CapMode = Literal["water_fill", "clip"]


class RotationParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One choice of the strategy's parameters. ``hold_bonus=0, band=0`` is the literal strategy of the document."""

    ema_fast: int = 20
    """Bars of the average that the close is measured against and that ends a holding, N of ``2 / (N + 1)``."""
    ema_slow: int = 50
    """Bars of the average that the fast one must exceed."""
    atr_window: int = 20
    """Bars of Wilder's average true range."""
    macd_enabled: bool = False
    """Whether MACD above 0 is one more condition."""
    macd_fast: int = 12
    macd_slow: int = 26
    macd_signal: int = 9
    """Bars of the signal line, which is reported and gates nothing."""
    top_n: int = 2
    """Most names chosen."""
    corr_window: int = 90
    """Returns in a correlation; a symbol needs all of them to be chosen."""
    corr_cap: float = 0.7
    """Largest correlation with a name already chosen, allowed itself."""
    signed_correlation: bool = False
    """Compare the correlation itself, so that hedges pass, instead of its absolute value."""
    min_score: float = 0.0
    """Smallest score of a name that is not held."""
    hold_bonus: float = 1.0
    """Added to the score of held names in the ranking. 0 is the literal strategy, in which ``hold_floor`` is off."""
    hold_floor: float = -0.5
    """Smallest score of a held name; with a bonus it stands in for ``min_score`` and for the exit below the EMA."""
    weight_method: WeightMethod = "inv_vol"
    vol_window: int = 20
    """Returns in a volatility."""
    max_weight: float = 0.5
    """Largest share of equity in one name."""
    cash_buffer: float = 0.05
    """Share of equity that is never invested."""
    cap_mode: CapMode = "water_fill"
    """Where the part above the cap goes: to the other names as far as they can take it, or to cash."""
    band: float = 0.05
    """Trade only if some weight is further than this from its target; then all trade to their targets."""
    regime_column: int = NO_COLUMN
    """Column of the symbol whose close below its simple average dampens the book; -1 switches the overlay off."""
    regime_window: int = 200
    """Bars of that average."""
    regime_factor: float = 0.5
    """What all targets are multiplied with while it is below."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges and values that contradict each other."""
        for field in ("ema_fast", "ema_slow", "atr_window", "macd_fast", "macd_slow", "macd_signal", "regime_window"):
            require_between("rotation", field, getattr(self, field), 1, WINDOW_MAX)
        for field in ("corr_window", "vol_window"):
            # Two returns are the fewest with a sample standard deviation.
            require_between("rotation", field, getattr(self, field), 2, WINDOW_MAX)
        require_between("rotation", "top_n", self.top_n, 1, NAMES_MAX)
        require_between("rotation", "corr_cap", self.corr_cap, -1.0, 1.0)
        require_between("rotation", "min_score", self.min_score, -SCORE_ABS_MAX, SCORE_ABS_MAX)
        require_between("rotation", "hold_bonus", self.hold_bonus, 0.0, SCORE_ABS_MAX)
        require_between("rotation", "hold_floor", self.hold_floor, -SCORE_ABS_MAX, SCORE_ABS_MAX)
        require_between("rotation", "max_weight", self.max_weight, 0.0, 1.0)
        require_between("rotation", "cash_buffer", self.cash_buffer, 0.0, 1.0)
        require_between("rotation", "band", self.band, 0.0, 1.0)
        require_between("rotation", "regime_column", self.regime_column, NO_COLUMN, 1_000_000)
        require_between("rotation", "regime_factor", self.regime_factor, 0.0, 1.0)
        if self.macd_enabled:
            require_ordered("rotation", ("macd_fast", self.macd_fast), ("macd_slow", self.macd_slow))
        if self.hold_bonus > 0.0:
            # Else a held name could be sold for a score with which it would be bought again the next day.
            entry = max(self.min_score, 0.0)
            require_ordered("rotation", ("hold_floor", self.hold_floor), ("entry score max(min_score, 0)", entry))

    @property
    def keeps_held(self) -> bool:
        """Whether held names have a bonus and the floor in place of the exit."""
        return self.hold_bonus > 0.0
