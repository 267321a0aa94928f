"""Owns what several strategies in one account add up to: wanted weights, netted and limited once, at the account.

Each strategy wants weights of its own capital share. They are added, and the limits are applied to the sum and to
nothing before it: two strategies may each want 5 % of a name as long as the account holds no more than allowed, and
opposite wishes cancel before anything is limited. Every strategy's part is then scaled by the factor of the account's
weight, so that the parts still add up to it. A strategy that has no target for a symbol keeps what its book holds.

Profiles that cannot share the account are refused at the start.
Source: document 002 (``LiveTradingManager``) and the project's behaviour document, section 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np

from walstreet.domain.fill_allocation import STRATEGIES_MAX, Crossing, cross, scale_to
from walstreet.domain.limits import LimitParameters, apply_limits
from walstreet.domain.repeat_throttle import ACCOUNT_KEY
from walstreet.domain.units import BoolArray, FloatArray, IntArray
from walstreet.domain.virtual_books import HOUSE
from walstreet_events import PRICE_SCALE, QUANTITY_SCALE

SHARE_TOLERANCE = 1e-9
"""Excess of the sum of capital shares that counts as rounding."""


class ProfileReason(StrEnum):
    """Stable codes of profiles that cannot run together."""

    NO_STRATEGY = "no_strategy"
    TOO_MANY_STRATEGIES = "too_many_strategies"
    STRATEGY_NAME = "strategy_name"
    DUPLICATE_STRATEGY = "duplicate_strategy"
    OTHER_ACCOUNT = "other_account"
    CAPITAL_SHARE = "capital_share"
    CAPITAL_OVERALLOCATED = "capital_overallocated"
    CASH_ACCOUNT_SHORTS = "cash_account_shorts"
    CASH_ACCOUNT_LEVERAGE = "cash_account_leverage"
    CASH_ACCOUNT_INTRADAY = "cash_account_intraday"
    LONG_ONLY_ACCOUNT = "long_only_account"


class AccountProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What kind of account it is."""

    account: str
    cash: bool = False
    """A cash account: no shorts, no leverage, and money settles a day later."""
    long_only: bool = False


class StrategyProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one strategy brings into the account."""

    name: str
    account: str
    capital_share: float
    """Of the account's equity."""
    shorts: bool = False
    gross_max: float = 1.0
    """Largest gross weight that it may want of its own capital."""
    intraday: bool = False
    """It trades in and out within a session, for which settled cash does not last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRefusal:
    """Why the account does not start."""

    reason: ProfileReason
    strategy: str
    """Empty where all of them together are the reason."""
    detail: str


def check_profiles(account: AccountProfile, strategies: Sequence[StrategyProfile]) -> tuple[ProfileRefusal, ...]:
    """Return everything that keeps these strategies from sharing the account; empty when they may start."""
    found = [refusal for profile in strategies for refusal in _check_profile(account, profile)]
    if not strategies:
        found.append(ProfileRefusal(reason=ProfileReason.NO_STRATEGY, strategy="", detail="no strategy is configured"))
    if len(strategies) > STRATEGIES_MAX:
        detail = f"{len(strategies)} strategies, allowed {STRATEGIES_MAX}"
        found.append(ProfileRefusal(reason=ProfileReason.TOO_MANY_STRATEGIES, strategy="", detail=detail))
    names = [profile.name for profile in strategies]
    for name in sorted({name for name in names if names.count(name) > 1}):
        detail = f"{names.count(name)} strategies are called {name!r}"
        found.append(ProfileRefusal(reason=ProfileReason.DUPLICATE_STRATEGY, strategy=name, detail=detail))
    total = math.fsum(profile.capital_share for profile in strategies)
    if not total <= 1.0 + SHARE_TOLERANCE:
        detail = f"capital shares sum to {total}, allowed 1"
        found.append(ProfileRefusal(reason=ProfileReason.CAPITAL_OVERALLOCATED, strategy="", detail=detail))
    return tuple(found)


def _check_profile(account: AccountProfile, profile: StrategyProfile) -> list[ProfileRefusal]:
    share = profile.capital_share
    gross = profile.gross_max
    return [
        ProfileRefusal(reason=reason, strategy=profile.name, detail=detail)
        for refused, reason, detail in (
            (
                profile.name in {"", HOUSE, ACCOUNT_KEY} or not profile.name.isprintable(),
                ProfileReason.STRATEGY_NAME,
                f"the name {profile.name!r} is empty, reserved or not printable",
            ),
            (
                profile.account != account.account,
                ProfileReason.OTHER_ACCOUNT,
                f"it is for account {profile.account!r}, this arbiter trades {account.account!r}",
            ),
            (
                not (math.isfinite(share) and 0.0 < share <= 1.0),
                ProfileReason.CAPITAL_SHARE,
                f"capital share {share}, allowed above 0 up to 1",
            ),
            (account.cash and profile.shorts, ProfileReason.CASH_ACCOUNT_SHORTS, "a cash account cannot be short"),
            (
                account.cash and not gross <= 1.0,
                ProfileReason.CASH_ACCOUNT_LEVERAGE,
                f"gross {gross} in a cash account, allowed 1",
            ),
            (
                account.cash and profile.intraday,
                ProfileReason.CASH_ACCOUNT_INTRADAY,
                "a cash account settles a day later, so it cannot trade in and out within a session",
            ),
            (
                account.long_only and profile.shorts and not account.cash,
                ProfileReason.LONG_ONLY_ACCOUNT,
                "the account is long only",
            ),
        )
        if refused
    ]


# ---------------------------------------------------------------------------------------------------- weights


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTargets:
    """What the account may hold and whose it is."""

    wanted: FloatArray
    """(N,) sum of all wishes, before the limits."""
    weights: FloatArray
    """(N,) within the limits."""
    parts: FloatArray
    """(S, N) each strategy's part of ``weights``, in weights of the account."""
    binding: IntArray
    """(N,) ``limits.Binding``."""


def account_targets(
    *,
    capital_shares: FloatArray,
    wanted: FloatArray,
    held: FloatArray,
    sectors: IntArray,
    movable: BoolArray,
    limits: LimitParameters,
) -> AccountTargets:
    """Return the account's weights and every strategy's part in them.

    Args:
        capital_shares: (S,) of the account's equity.
        wanted: (S, N) signed weights of each strategy's own capital; NaN where it has no target.
        held: (S, N) what each virtual book holds, in weights of the account; finite.
        sectors: (N,) sector codes at or above 0.
        movable: (N,) False where nothing can be traded now, so that the books stay as they are.
        limits: Of the account.
    """
    strategies, symbols = wanted.shape
    assert capital_shares.shape == (strategies,), (capital_shares.shape, wanted.shape)
    assert held.shape == wanted.shape, (held.shape, wanted.shape)
    assert bool(np.all(np.isfinite(held))), "what the books hold must be known before targets are added"
    stays = ~np.isfinite(wanted) | ~movable[None, :]
    parts = np.where(stays, held, np.where(stays, 0.0, wanted) * capital_shares[:, None])
    total = np.zeros(symbols)
    for row in parts:
        # Row by row, so that the bits do not depend on how a sum is split.
        total = total + row
    weights, binding = apply_limits(total, sectors, movable, limits)
    changed = weights != total
    factor = np.where(changed, weights / np.where(changed & (total != 0.0), total, 1.0), 1.0)
    return AccountTargets(wanted=total, weights=weights, parts=parts * factor[None, :], binding=binding)


# -------------------------------------------------------------------------------------------------- quantities


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolPlan:
    """One symbol's trade of the account and what it means for every strategy; in the order of the strategies."""

    crossing: Crossing
    target_micro: tuple[int, ...]
    """What each book holds once crossing and order have filled."""


def quantity_micro(weight: float, equity_nano: int, price_nano: int) -> int:
    """Return the quantity that a weight of the account amounts to, towards zero.

    Raises:
        ValueError: A weight that is not finite, or a price that is not positive: nothing may be sized from these.
    """
    if not math.isfinite(weight) or price_nano <= 0:
        raise ValueError(f"a weight of {weight} at {price_nano} nano gives no quantity; refuse the symbol before")
    return int(weight * (equity_nano / PRICE_SCALE) / (price_nano / PRICE_SCALE) * QUANTITY_SCALE)


def plan_symbol(
    *, books_micro: Sequence[int], parts_micro: Sequence[int], order_micro: int | None = None
) -> SymbolPlan:
    """Return how the books get from where they are to their parts: with each other first, then by one order.

    Args:
        books_micro: (S,) signed positions of the virtual books.
        parts_micro: (S,) signed positions that each should have.
        order_micro: What the account really sends, where later steps (band, netting, whole shares) have made it
            smaller than the sum of the changes; then every change is scaled alike. None for all of it.

    Raises:
        ValueError: An order on the other side of what the books want, or beyond it.
    """
    changes = [part - book for part, book in zip(parts_micro, books_micro, strict=True)]
    if order_micro is not None:
        changes = list(scale_to(order_micro, changes))
    return SymbolPlan(
        crossing=cross(changes),
        target_micro=tuple(book + change for book, change in zip(books_micro, changes, strict=True)),
    )
