"""Owns the parameters of several strategies in one account; without members one arbiter trades the whole account.

The limits of the account are those of section ``arbiter``. A member's own parameters, its limits among them, are that
section with the member's values on top, and hold for its share of the capital.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from walstreet.domain.account_limits import (
    AccountProfile,
    ProfileRefusal,
    StrategyProfile,
    check_profiles,
)
from walstreet.domain.bounds import require_between
from walstreet.domain.fill_allocation import STRATEGIES_MAX
from walstreet.domain.units import HORIZONS_MINUTES
from walstreet.domain.virtual_books import HOUSE

NAME_LENGTH_MAX = 32
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class StrategyParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One strategy of the account."""

    name: str
    """Letters, digits, ``_`` and ``-``; part of its subject on the TAPE and of its virtual book."""
    capital_share: float
    """Of the account's equity."""
    symbols: tuple[str, ...] = ()
    """Empty for all symbols of the session."""
    horizons_minutes: tuple[int, ...] = ()
    """Empty for all horizons of the models."""
    alpha_sign: Literal[1, -1] = 1
    """-1 trades against the models: every forecast of a return is taken with the other sign, also by what learns."""
    arbiter: dict[str, Any] = {}
    """On top of section ``arbiter``, with the same keys."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        sound = 0 < len(self.name) <= NAME_LENGTH_MAX and all(letter in _NAME_CHARACTERS for letter in self.name)
        if not sound or self.name == HOUSE:
            raise ValueError(
                f"strategies.members: the name {self.name!r} is not allowed; 1 to {NAME_LENGTH_MAX} letters, digits, "
                f"'_' and '-', and not {HOUSE!r}, which is the book of what no strategy stands behind"
            )
        require_between(f"strategies.members.{self.name}", "capital_share", self.capital_share, 1e-6, 1.0)
        rotation = self.arbiter.get("rotation")
        if isinstance(rotation, dict) and rotation.get("enabled"):
            raise ValueError(
                f"strategy {self.name}: arbiter.rotation.enabled is not possible here; the rotation has an account "
                "of its own (config/rotation.yaml)"
            )
        unknown = [minutes for minutes in self.horizons_minutes if minutes not in HORIZONS_MINUTES]
        if unknown:
            raise ValueError(f"strategy {self.name}: horizons_minutes {unknown}; allowed are {HORIZONS_MINUTES}")


class StrategiesParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which strategies share the account."""

    members: tuple[StrategyParameters, ...] = ()
    """Each with ``name``, ``capital_share``, ``symbols``, ``horizons_minutes``, ``alpha_sign`` and ``arbiter``; none is
    one arbiter for the whole account."""
    cash: bool = False
    """The account is a cash account; strategies that short, or trade in and out within a session, are refused."""
    long_only: bool = False
    """Strategies that short are refused."""
    opening: str = HOUSE
    """Whose book takes the positions that stood when the TAPE began; ``house`` is nobody's, and nobody trades it."""

    def __post_init__(self) -> None:
        """Refuse members that do not go together."""
        names = [member.name for member in self.members]
        if len(dict.fromkeys(names)) != len(names) or len(names) > STRATEGIES_MAX:
            raise ValueError(f"strategies.members has the names {names}; each once, {STRATEGIES_MAX} at most")
        if self.opening not in (HOUSE, *names):
            raise ValueError(f"strategies.opening is {self.opening!r}; allowed are {HOUSE!r} and {names}")


def account_refusals(
    parameters: StrategiesParameters, *, account: str, gross_max: dict[str, float]
) -> tuple[ProfileRefusal, ...]:
    """Return everything that keeps the members from sharing ``account``.

    Args:
        parameters: With at least one member.
        account: At the broker.
        gross_max: By member, of its own capital.
    """
    return check_profiles(
        AccountProfile(account=account, cash=parameters.cash, long_only=parameters.long_only),
        [
            StrategyProfile(
                name=member.name,
                account=account,
                capital_share=member.capital_share,
                # The models' forecasts have two signs, and horizons begin at five minutes.
                shorts=True,
                intraday=True,
                gross_max=gross_max[member.name],
            )
            for member in parameters.members
        ],
    )
