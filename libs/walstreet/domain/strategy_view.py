"""Owns what one strategy of several sees of the account's facts: its symbols, its sign, its capital.

A strategy is told a world in which it trades its own capital alone, so that its core needs to know nothing of others.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from walstreet.domain.strategy_parameters import StrategyParameters
from walstreet.domain.units import IntArray
from walstreet_events import (
    AccountValues,
    AnyEvent,
    EventId,
    FeatureBlock,
    PredictionBlock,
    derive_id,
    float_block,
    int_block,
)

SHARE_SCALE = 1_000_000_000
"""Units of a capital share; money is divided in integers."""
RETURN_TARGET = "return"
_FLOAT_FIELDS = ("values", "spread_bps", "sigma_5m_bps", "sigma_day_bps")
_INT_FIELDS = (
    "ready",
    "flags",
    "bid_nano",
    "ask_nano",
    "close_nano",
    "quote_ts_ns",
    "average_daily_volume_micro",
)
_MONEY_FIELDS = (
    "net_liquidation_nano",
    "cash_nano",
    "settled_cash_nano",
    "available_funds_nano",
    "gross_position_nano",
    "initial_margin_nano",
    "maintenance_margin_nano",
)


def view_id(event_id: str, strategy: str) -> EventId:
    """Return the id under which ``strategy`` sees an event, so that what it derives from it is its own."""
    return derive_id(event_id, f"strategy:{strategy}", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyView:
    """The view of one strategy."""

    profile: StrategyParameters

    def of(self, event: AnyEvent) -> AnyEvent:
        """Return ``event`` as the strategy sees it; what is the same for everybody is returned as it is."""
        match event:
            case FeatureBlock():
                return self._features(event)
            case PredictionBlock():
                return self._predictions(event)
            case AccountValues():
                return self._account(event)
            case _:
                return event

    def _rows(self, symbols: tuple[str, ...]) -> IntArray | None:
        """Return where the strategy's symbols stand, None for all of them."""
        mine = self.profile.symbols
        if not mine:
            return None
        return np.array([index for index, symbol in enumerate(symbols) if symbol in mine], dtype=np.int64)

    def _features(self, block: FeatureBlock) -> FeatureBlock:
        rows = self._rows(block.symbols)
        if rows is None:
            return block
        floats = {name: float_block(getattr(block, name).array()[rows]) for name in _FLOAT_FIELDS}
        whole = {name: int_block(getattr(block, name).array()[rows]) for name in _INT_FIELDS}
        symbols = tuple(block.symbols[row] for row in rows.tolist())
        return msgspec.structs.replace(block, symbols=symbols, **floats, **whole)

    def _predictions(self, block: PredictionBlock) -> PredictionBlock:
        rows = self._rows(block.symbols)
        values, symbols = block.values.array(), block.symbols
        if rows is not None:
            values, symbols = values[:, rows], tuple(symbols[row] for row in rows.tolist())
        if self.profile.alpha_sign < 0:
            forecast = np.array([column.target == RETURN_TARGET for column in block.models], dtype=np.bool_)
            values = np.where(forecast[:, None], -values, values)
        return msgspec.structs.replace(
            block, id=view_id(block.id, self.profile.name), symbols=symbols, values=float_block(values)
        )

    def _account(self, event: AccountValues) -> AccountValues:
        share = round(self.profile.capital_share * SHARE_SCALE)
        money = {
            name: None if (amount := getattr(event, name)) is None else amount * share // SHARE_SCALE
            for name in _MONEY_FIELDS
        }
        return msgspec.structs.replace(event, **money)
