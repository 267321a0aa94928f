"""Owns the account's life beyond one process: a file that a later session of the same account goes on from.

Written whole after every change and renamed into place, so that it is never half a file. What settles on the next
trading day has settled when the file is read for a later one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from walstreet_services.ibsim.account import Position
from walstreet_services.ibsim.market_errors import MarketError

if TYPE_CHECKING:
    from pathlib import Path

    from walstreet_services.ibsim.gateway import Gateway


class AccountFileError(MarketError):
    """The file is no account, or one of another name or of a later day. The operator's fault."""


class SavedPosition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One holding."""

    quantity_micro: int
    cost_nano: int
    realized_nano: int


class SavedAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything of an account that outlives a session."""

    account: str
    day: str
    """ISO date of the session that wrote it."""
    cash_nano: int
    unsettled_nano: int
    positions: dict[str, SavedPosition]
    orders_recorded: int
    ids_seen: dict[int, int]


class AccountFile:
    """Loads an account into a gateway and keeps it up to date on disk."""

    def __init__(self, path: Path, gateway: Gateway) -> None:
        """Load ``path`` if it exists, and write it after every later change.

        Raises:
            AccountFileError: It cannot be used for this session.
        """
        self._path = path
        self._gateway = gateway
        self._day = gateway.market.session.date.isoformat()
        if path.is_file():
            self._load(path.read_bytes())
        gateway.watch_trades(self.save)

    def save(self) -> None:
        """Write the account as it is now."""
        account, desk = self._gateway.account, self._gateway.desk
        instruments = self._gateway.market.instruments
        saved = SavedAccount(
            account=account.name,
            day=self._day,
            cash_nano=account.cash_nano,
            unsettled_nano=account.unsettled_nano,
            positions={
                instruments[index].symbol: SavedPosition(
                    quantity_micro=item.quantity_micro, cost_nano=item.cost_nano, realized_nano=item.realized_nano
                )
                for index, item in sorted(account.positions.items())
                if item.quantity_micro
            },
            orders_recorded=desk.recorded,
            ids_seen=desk.ids_seen,
        )
        beside = self._path.with_name(self._path.name + ".new")
        with beside.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(saved), indent=1))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)

    def _load(self, data: bytes) -> None:
        try:
            saved = msgspec.json.decode(data, type=SavedAccount)
        except msgspec.DecodeError as error:
            raise AccountFileError(f"{self._path} is no account file ({error}); name another --account-file") from None
        account = self._gateway.account
        if saved.account != account.name or saved.day > self._day:
            raise AccountFileError(
                f"{self._path} holds {saved.account} as of {saved.day}; this is {account.name} on {self._day}: "
                "name another --account-file, or a later --day"
            )
        place = {item.symbol: index for index, item in enumerate(self._gateway.market.instruments)}
        missing = [symbol for symbol in saved.positions if symbol not in place]
        if missing:
            raise AccountFileError(f"{self._path} holds {', '.join(missing)}, which this market does not have")
        account.cash_nano = saved.cash_nano
        account.unsettled_nano = saved.unsettled_nano if saved.day == self._day else 0
        for symbol, item in saved.positions.items():
            account.positions[place[symbol]] = Position(
                quantity_micro=item.quantity_micro, cost_nano=item.cost_nano, realized_nano=item.realized_nano
            )
        account.start_equity_nano = account.equity()
        self._gateway.desk.begin_after(saved.orders_recorded, saved.ids_seen)
