"""Owns what can be chosen about the live rotation besides the strategy itself: universe, capital, orders, freshness."""

from __future__ import annotations

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.compliance import ComplianceParameters
from walstreet.domain.rotation_parameters import RotationParameters

UNIVERSE_MAX = 500
STRATEGY_CHARACTERS_MAX = 32


class RotationLiveParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The daily rotation as a strategy on the account."""

    enabled: bool = False
    strategy: str = "rotation"
    """Name of the strategy in its records."""
    universe: tuple[str, ...] = ()
    """What may be held, in the order that breaks ties; empty is every symbol of the session."""
    selection: RotationParameters = RotationParameters()
    """The strategy, the same struct that research reads."""
    compliance: ComplianceParameters = ComplianceParameters()
    """The cash account's rules."""
    capital_share: float = 1.0
    """Part of the account's equity that the weights are weights of."""
    tif_s: int = 45
    """Seconds that execution may work an order."""
    parent_s: int = 170
    """So long after the decision an order's rest may go out again, once its end is proved (``execution.reslice``)."""
    bars_age_s_max: float = 180.0
    """Daily bars that were asked for longer ago, or whose last minute ended longer ago, are not decided on."""
    close_margin_s: int = 130
    """So long before the close nothing is begun any more: execution refuses the last two minutes."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("rotation", "capital_share", self.capital_share, 0.0, 1.0)
        require_between("rotation", "tif_s", self.tif_s, 1, 3_600)
        require_between("rotation", "parent_s", self.parent_s, self.tif_s, 3_600)
        require_between("rotation", "bars_age_s_max", self.bars_age_s_max, 1.0, 3_600.0)
        require_between("rotation", "close_margin_s", self.close_margin_s, 0, 3_600)
        require_between("rotation", "universe (count)", len(self.universe), 0, UNIVERSE_MAX)
        if len(dict.fromkeys(self.universe)) != len(self.universe):
            raise ValueError(f"rotation.universe names a symbol twice: {', '.join(self.universe)}")
        if not 1 <= len(self.strategy) <= STRATEGY_CHARACTERS_MAX:
            raise ValueError(
                f"rotation.strategy is {self.strategy!r}; allowed are 1 to {STRATEGY_CHARACTERS_MAX} letters"
            )
        if self.selection.regime_column >= max(len(self.universe), 1):
            raise ValueError(
                f"rotation.selection.regime_column is {self.selection.regime_column}, but the universe has "
                f"{len(self.universe)} symbols; name the universe, or switch the overlay off with -1"
            )
