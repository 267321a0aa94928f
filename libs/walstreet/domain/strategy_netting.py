"""Owns what the wishes of several strategies in one account come to: crossed, limited at their sum, sent as one order.

Per symbol the buys and sells of the strategies meet first, at the mid and inside the account; this changes nothing
that the account holds, so no limit concerns it. What is left has one sign. The limits are applied to the sum of all
books and to nothing before it, and they only scale an order down: never beyond what the strategies want, never to the
other side, and never where the order brings the account's position towards zero. A symbol in which the account has an
order at work waits, for everybody.

The order of the strategies does not matter: they are taken by name, and so are the ties of rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from walstreet.domain.cycle_orders import RISK_VERDICTS
from walstreet.domain.fill_allocation import cross, scale_to
from walstreet.domain.limits import TOLERANCE, Binding, LimitParameters, apply_limits
from walstreet.domain.strategy_books import lot_of
from walstreet.domain.units import FloatArray
from walstreet_events import PRICE_SCALE, QUANTITY_SCALE, OrderIntent, PlannedSymbol, Side, StrategyShare, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one strategy wants of one symbol."""

    strategy: str
    intent: OrderIntent

    @property
    def signed_micro(self) -> int:
        """Return the quantity, positive for a buy."""
        return self.intent.quantity_micro if self.intent.side is Side.BUY else -self.intent.quantity_micro


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """What the sum of the strategies is judged by."""

    equity_nano: int | None
    position_micro: Mapping[str, int]
    """Of the account: all books, the house's among them; absent is flat."""
    rest_micro: Mapping[str, int]
    """Signed quantity still at work, by symbol; 0 is possible and still at work."""
    blocked: Mapping[str, bool]
    """Symbols with a foreign order."""
    mark_nano: Mapping[str, int]
    """What positions are valued at; absent or 0 is unknown."""
    sectors: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolTrade:
    """What becomes of one symbol."""

    symbol: str
    wishes: tuple[Wish, ...]
    """By name of the strategy."""
    crossed_micro: tuple[int, ...]
    parents_micro: tuple[int, ...]
    reason: str
    price_nano: int

    @property
    def order_micro(self) -> int:
        """Return the account's order, signed."""
        return sum(self.parents_micro)

    @property
    def lead(self) -> Wish:
        """Return the wish with the largest part of the order, whose horizon and time in force the order takes."""
        sizes = [abs(part) for part in self.parents_micro]
        return self.wishes[sizes.index(max(sizes))]

    def planned(self, intent: str) -> PlannedSymbol:
        """Return the record of it; ``intent`` is the account's, empty without an order."""
        return PlannedSymbol(
            symbol=self.symbol,
            intent=intent,
            price_nano=self.price_nano,
            reason=self.reason,
            shares=tuple(
                StrategyShare(
                    strategy=wish.strategy,
                    intent=wish.intent.id,
                    wanted_micro=wish.signed_micro,
                    crossed_micro=crossed,
                    parent_micro=parent,
                )
                for wish, crossed, parent in zip(self.wishes, self.crossed_micro, self.parents_micro, strict=True)
            ),
        )


def net_wishes(
    wishes: Sequence[Wish], facts: AccountFacts, *, limits: LimitParameters, notional_usd_min: float
) -> tuple[SymbolTrade, ...]:
    """Return one trade for each symbol that somebody wants to trade, sorted by symbol.

    Args:
        wishes: One at most for each strategy and symbol.
        facts: Of the account.
        limits: Of the account.
        notional_usd_min: A smaller order is not worth its fee, unless it brings the account's position to zero.

    Raises:
        ValueError: Two wishes of one strategy for one symbol.
    """
    by_symbol: dict[str, list[Wish]] = {}
    for wish in sorted(wishes, key=lambda wish: (wish.intent.symbol, wish.strategy)):
        of_symbol = by_symbol.setdefault(wish.intent.symbol, [])
        if of_symbol and of_symbol[-1].strategy == wish.strategy:
            raise ValueError(f"strategy {wish.strategy} wants {wish.intent.symbol} twice in one cycle")
        of_symbol.append(wish)
    free = {
        symbol: _crossed(symbol, tuple(found))
        for symbol, found in by_symbol.items()
        if symbol not in facts.rest_micro and not facts.blocked.get(symbol, False)
    }
    allowed = _within_limits({symbol: trade.order_micro for symbol, trade in free.items()}, facts, limits)
    return tuple(
        _scaled(free[symbol], *allowed[symbol], facts, notional_usd_min)
        if symbol in free
        else _waiting(symbol, tuple(found))
        for symbol, found in by_symbol.items()
    )


def _mid_nano(wishes: tuple[Wish, ...]) -> int:
    """Return the mid that the wishes were made at; they come from one block of quotes, so it is one price."""
    return sum(wish.intent.arrival_mid_nano for wish in wishes) // len(wishes)


def _waiting(symbol: str, wishes: tuple[Wish, ...]) -> SymbolTrade:
    nothing = (0,) * len(wishes)
    return SymbolTrade(
        symbol=symbol,
        wishes=wishes,
        crossed_micro=nothing,
        parents_micro=nothing,
        reason=Verdict.PENDING_ORDER.value,
        price_nano=_mid_nano(wishes),
    )


def _crossed(symbol: str, wishes: tuple[Wish, ...]) -> SymbolTrade:
    wanted = tuple(wish.signed_micro for wish in wishes)
    lot = lot_of(wanted)
    crossing = cross([quantity // lot for quantity in wanted])
    return SymbolTrade(
        symbol=symbol,
        wishes=wishes,
        crossed_micro=tuple(part * lot for part in crossing.crossed_micro),
        parents_micro=tuple(part * lot for part in crossing.parents_micro),
        reason="",
        price_nano=_mid_nano(wishes),
    )


def _scaled(
    trade: SymbolTrade, order_micro: int, reason: str, facts: AccountFacts, notional_usd_min: float
) -> SymbolTrade:
    lot = lot_of(trade.parents_micro)
    lots = _towards_zero(order_micro, lot)
    notional_usd = abs(lots * lot) / QUANTITY_SCALE * trade.price_nano / PRICE_SCALE
    flattens = facts.position_micro.get(trade.symbol, 0) + lots * lot == 0
    if lots and notional_usd < notional_usd_min and not flattens:
        lots, reason = 0, Verdict.BELOW_MIN.value
    parents = scale_to(lots, [part // lot for part in trade.parents_micro])
    return SymbolTrade(
        symbol=trade.symbol,
        wishes=trade.wishes,
        crossed_micro=trade.crossed_micro,
        parents_micro=tuple(part * lot for part in parents),
        reason=reason,
        price_nano=trade.price_nano,
    )


def _towards_zero(quantity: int, unit: int) -> int:
    return abs(quantity) // unit * (1 if quantity > 0 else -1)


# -------------------------------------------------------------------------------------------------- limits


def _within_limits(
    changes: Mapping[str, int], facts: AccountFacts, limits: LimitParameters
) -> dict[str, tuple[int, str]]:
    """Return by symbol what of a change may be sent, and why not all of it.

    Scaling a book towards zero may ask of a symbol more than the strategies want: to sell what nobody wants sold, or
    to stop what only reduces. Such a symbol is fixed at the nearer end of its change, and the others are scaled once
    more to the room that is left. Every round fixes one symbol at least, so there are no more rounds than symbols.
    """
    symbols = sorted({*changes, *facts.position_micro, *facts.rest_micro})
    prices = [facts.mark_nano.get(symbol, 0) for symbol in symbols]
    held = [_largest(facts, symbol) for symbol in symbols]
    known = facts.equity_nano is not None and facts.equity_nano > 0
    if not known or any(
        price <= 0 for price, micro, symbol in zip(prices, held, symbols, strict=True) if micro or changes.get(symbol)
    ):
        return {
            symbol: _closing_only(facts.position_micro.get(symbol, 0), change) for symbol, change in changes.items()
        }
    assert facts.equity_nano is not None
    unit = np.array(prices) / PRICE_SCALE / QUANTITY_SCALE / (facts.equity_nano / PRICE_SCALE)
    before = np.array(held, dtype=np.float64) * unit
    wanted = np.array([changes.get(symbol, 0) for symbol in symbols], dtype=np.float64) * unit
    allowed, binding = _clamped(before, wanted, _sector_codes(facts, symbols), limits)
    allowed, binding = _within_net(before, allowed, binding, limits.net_max)
    result: dict[str, tuple[int, str]] = {}
    for index, symbol in enumerate(symbols):
        change = changes.get(symbol, 0)
        if symbol not in changes:
            continue
        if allowed[index] == wanted[index]:
            result[symbol] = (change, "")
        else:
            kept = int(allowed[index] / unit[index])
            kept = max(0, min(kept, change)) if change > 0 else min(0, max(kept, change))
            result[symbol] = (kept, RISK_VERDICTS[int(binding[index])].value)
    return result


def _clamped(
    before: FloatArray, wanted: FloatArray, sectors: list[int], limits: LimitParameters
) -> tuple[FloatArray, FloatArray]:
    """Return (N,) changes of weight between 0 and the wanted one, and the binding limit of each."""
    codes = np.array(sectors, dtype=np.int64)
    allowed, movable = wanted.copy(), wanted != 0.0
    binding = np.zeros(len(wanted))
    for _ in range(len(wanted) + 1):
        weights, found = apply_limits(before + allowed, codes, movable, limits)
        asked = np.where(weights == before + allowed, allowed, weights - before)
        inside = np.where(wanted > 0.0, np.clip(asked, 0.0, wanted), np.clip(asked, wanted, 0.0))
        binding = np.where(movable & (found != 0), found, binding)
        beyond = movable & (inside != asked)
        if not beyond.any():
            return np.where(movable, asked, allowed), binding
        allowed = np.where(beyond, inside, np.where(movable, wanted, allowed))
        movable &= ~beyond
    raise AssertionError("every round fixes a symbol, so the rounds end")


def _within_net(
    before: FloatArray, allowed: FloatArray, binding: FloatArray, net_max: float
) -> tuple[FloatArray, FloatArray]:
    """Return the changes with those openings cut that carry the net beyond its limit, or further beyond it.

    Where what cannot be moved breaks the limit by itself, scaling what can be moved does not mend it. Then nothing may
    open on that side; what closes a position goes on.
    """
    after = float(np.sum(before + allowed))
    excess = abs(after) - max(net_max, abs(float(np.sum(before))))
    if excess <= TOLERANCE:
        return allowed, binding
    flips = (before * allowed < 0.0) & (np.abs(allowed) > np.abs(before))
    opening = np.where(before * allowed >= 0.0, allowed, np.where(flips, before + allowed, 0.0))
    opening = np.where(opening * after > 0.0, opening, 0.0)
    total = float(np.sum(np.abs(opening)))
    if total == 0.0:
        return allowed, binding
    cut = opening * min(1.0, excess / total)
    return allowed - cut, np.where(cut != 0.0, float(Binding.NET), binding)


def _largest(facts: AccountFacts, symbol: str) -> int:
    """Return the larger position of now and of what is at work."""
    now = facts.position_micro.get(symbol, 0)
    later = now + facts.rest_micro.get(symbol, 0)
    return later if abs(later) > abs(now) else now


def _closing_only(position_micro: int, change_micro: int) -> tuple[int, str]:
    """Return the part of a change that brings the position to zero: without prices no room under a limit is known."""
    if position_micro * change_micro >= 0:
        return 0, Verdict.NO_REF.value
    kept = min(abs(change_micro), abs(position_micro)) * (1 if change_micro > 0 else -1)
    return kept, "" if kept == change_micro else Verdict.NO_REF.value


def _sector_codes(facts: AccountFacts, symbols: Sequence[str]) -> list[int]:
    codes: dict[str, int] = {"": 0}
    return [codes.setdefault(facts.sectors.get(symbol, ""), len(codes)) for symbol in symbols]
