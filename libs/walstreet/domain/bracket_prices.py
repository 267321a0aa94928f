"""Owns the prices of protective orders: a take-profit and a stop around the price at which a position is opened.

``fixed`` takes two distances in basis points, ``vol`` two multiples of the symbol's volatility over the horizon of the
intent, ``k * sigma_5m * sqrt(h / 5)``, as the labels of the barrier models do. Off by default: the arbiter decides
exits, and a protective order that fills has not asked it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.tick_rules import TickRule
from walstreet_events import Side

BracketMode = Literal["off", "vol", "fixed"]
BPS = 10_000.0
SIGMA_MINUTES = 5


class BracketParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether opening orders take protective orders along, and how far away these stand."""

    mode: BracketMode = "off"
    take_profit_bps: float = 8.0
    """``fixed``: distance of the take-profit."""
    stop_bps: float = 10.0
    """``fixed``: distance of the stop's trigger."""
    take_profit_sigmas: float = 1.5
    """``vol``: multiple of the volatility over the horizon."""
    stop_sigmas: float = 1.0
    distance_bps_min: float = 2.0
    """``vol``: no protective order stands closer, however quiet the symbol is."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        for name in ("take_profit_bps", "stop_bps"):
            require_between("execution.brackets", name, float(getattr(self, name)), 0.5, 5_000.0)
        for name in ("take_profit_sigmas", "stop_sigmas"):
            require_between("execution.brackets", name, float(getattr(self, name)), 0.05, 50.0)
        require_between("execution.brackets", "distance_bps_min", self.distance_bps_min, 0.5, 500.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BracketPrices:
    """Where the two protective orders stand, in 1e-9 USD on the price grid."""

    take_profit_nano: int
    stop_nano: int


def bracket_prices(
    side: Side,
    price_nano: int,
    *,
    horizon_minutes: int,
    sigma_5m_bps: float | None,
    rule: TickRule,
    parameters: BracketParameters,
) -> BracketPrices | None:
    """Return the protective prices of a position opened by ``side`` at ``price_nano``.

    None when a volatility is needed and not known, or no sound price is left. The take-profit is rounded towards the
    entry, so that it is not missed by a fraction of a tick, the trigger away from it; neither stands at the entry.
    """
    if parameters.mode == "fixed":
        profit_bps, stop_bps = parameters.take_profit_bps, parameters.stop_bps
    else:
        if sigma_5m_bps is None or not (math.isfinite(sigma_5m_bps) and sigma_5m_bps > 0.0):
            return None
        sigma_bps = sigma_5m_bps * math.sqrt(horizon_minutes / SIGMA_MINUTES)
        profit_bps = max(parameters.distance_bps_min, parameters.take_profit_sigmas * sigma_bps)
        stop_bps = max(parameters.distance_bps_min, parameters.stop_sigmas * sigma_bps)
    sign = 1 if side is Side.BUY else -1
    profit_raw = price_nano + sign * math.floor(price_nano * (profit_bps / BPS))
    stop_raw = price_nano - sign * math.floor(price_nano * (stop_bps / BPS))
    # Away from the entry by one tick at least.
    up, down = rule.up(price_nano + 1), rule.down(price_nano - 1)
    if side is Side.BUY:
        prices = BracketPrices(
            take_profit_nano=max(rule.down(profit_raw), up), stop_nano=min(rule.down(stop_raw), down)
        )
    else:
        prices = BracketPrices(take_profit_nano=min(rule.up(profit_raw), down), stop_nano=max(rule.up(stop_raw), up))
    sound = prices.take_profit_nano > 0 and prices.stop_nano > 0
    return prices if sound else None
