"""Owns the sending of account values, positions and summaries, asked for and after trades."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim import replies
from walstreet_services.ibsim.times import clock_text
from walstreet_services.ibsim.units import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from walstreet_services.ibsim.account import Account
    from walstreet_services.ibsim.contracts import ContractBook
    from walstreet_services.ibsim.sessions import ClientSession

REFRESH_NS = 180 * NS_PER_SECOND
"""Without trades the gateway refreshes account values about every three minutes."""
SUMMARIES_MAX = 2
NO_CURRENCY_TAGS = ("AccountType", "Cushion")


class AccountFeed:
    """Answers requests about the account, and keeps subscribers up to date."""

    def __init__(self, account: Account, book: ContractBook) -> None:
        self._account = account
        self._book = book

    def download(self, session: ClientSession, now_ns: int) -> None:
        """Send values, portfolio, time and the end mark."""
        self._values(session, now_ns, self._known())
        session.send(replies.account_end(self._account.name))

    def multi(self, session: ClientSession, req_id: int) -> None:
        """Send the values of a request by id."""
        for tag, value, currency in self._account.values():
            session.send(replies.account_multi(req_id, self._account.name, tag, value, currency))
        session.send(replies.account_multi_end(req_id))

    def summary(self, session: ClientSession, req_id: int, tags: tuple[str, ...], *, end: bool = True) -> None:
        """Send the summary rows of the tags; ``$LEDGER`` and ``All`` mean every value."""
        everything = any(tag == "All" or tag.startswith("$LEDGER") for tag in tags)
        for tag, value, currency in self._account.values():
            if everything or tag in tags:
                shown = "" if tag in NO_CURRENCY_TAGS else currency
                session.send(replies.account_summary(req_id, self._account.name, tag, value, shown))
        if end:
            session.send(replies.account_summary_end(req_id))

    def positions(self, session: ClientSession) -> None:
        """Send the positions with their end mark."""
        self._positions(session, self._account.held())
        session.send(replies.position_end())

    def positions_multi(self, session: ClientSession, req_id: int) -> None:
        """Send the positions of a request by id."""
        self._positions_multi(session, req_id, self._account.held())
        session.send(replies.position_multi_end(req_id))

    def after_trades(self, session: ClientSession, indices: Iterable[int], now_ns: int) -> None:
        """Send what trades in some instruments have changed."""
        traded = sorted(set(indices))
        if session.positions:
            self._positions(session, traded)
        for req_id in sorted(session.positions_multi):
            self._positions_multi(session, req_id, traded)
        self._refresh(session, now_ns, traded)

    def on_clock(self, session: ClientSession, now_ns: int) -> None:
        """Refresh the values when they are old."""
        if now_ns - session.account_shown_ns >= REFRESH_NS:
            self._refresh(session, now_ns, self._known())

    def _known(self) -> list[int]:
        return sorted(self._account.positions)

    def _refresh(self, session: ClientSession, now_ns: int, indices: list[int]) -> None:
        session.account_shown_ns = now_ns
        if session.account_updates:
            self._values(session, now_ns, indices)
        name = self._account.name
        rows = self._account.values() if session.account_multi or session.summaries else []
        for req_id in sorted(session.account_multi):
            for tag, value, currency in rows:
                session.send(replies.account_multi(req_id, name, tag, value, currency))
        for req_id, tags in session.summaries.items():
            self.summary(session, req_id, tags, end=False)

    def _values(self, session: ClientSession, now_ns: int, indices: list[int]) -> None:
        account = self._account
        session.account_shown_ns = now_ns
        for tag, value, currency in account.values():
            session.send(replies.account_value(tag, value, currency, account.name))
        for index in indices:
            position = account.positions[index]
            session.send(
                replies.portfolio(
                    self._book.instruments[index],
                    account.name,
                    quantity_micro=position.quantity_micro,
                    price_nano=account.mark(index),
                    value_nano=account.value(index),
                    average_cost_nano=position.average_cost_nano,
                    unrealized_nano=account.unrealized(index),
                    realized_nano=position.realized_nano,
                )
            )
        session.send(replies.account_time(clock_text(now_ns)))

    def _positions(self, session: ClientSession, indices: list[int]) -> None:
        for index in indices:
            position = self._account.positions[index]
            session.send(
                replies.position(
                    self._book.instruments[index],
                    self._account.name,
                    quantity_micro=position.quantity_micro,
                    average_cost_nano=position.average_cost_nano,
                )
            )

    def _positions_multi(self, session: ClientSession, req_id: int, indices: list[int]) -> None:
        for index in indices:
            position = self._account.positions[index]
            session.send(
                replies.position_multi(
                    req_id,
                    self._book.instruments[index],
                    self._account.name,
                    quantity_micro=position.quantity_micro,
                    average_cost_nano=position.average_cost_nano,
                )
            )
