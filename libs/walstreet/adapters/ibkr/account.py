"""Owns the account as the broker streams it: totals, positions, and when the two form one consistent reading."""

from __future__ import annotations

from walstreet.adapters.ibkr.numbers import micro, nano, whole
from walstreet.adapters.ibkr.requests import Requests
from walstreet.domain.observations import AccountFacts, AccountObserved, PositionFacts
from walstreet.ports import Clock, Observer

CURRENCY = "USD"
POSITIONS = "positions"
ACCOUNT = "account"
TAGS: dict[str, str] = {
    "NetLiquidation": "net_liquidation_nano",
    "TotalCashValue": "cash_nano",
    "SettledCash": "settled_cash_nano",
    "AvailableFunds": "available_funds_nano",
    "GrossPositionValue": "gross_position_nano",
    "InitMarginReq": "initial_margin_nano",
    "MaintMarginReq": "maintenance_margin_nano",
}
"""Account tags that are read, with the field they fill; amounts in another currency are left out."""


class AccountBook:
    """Totals and positions of one account on one connection."""

    def __init__(self, clock: Clock, observe: Observer, requests: Requests) -> None:
        """Begin with nothing known."""
        self.account = ""
        self._clock = clock
        self._observe = observe
        self._requests = requests
        self._totals: dict[str, int | None] = {}
        self._positions: dict[int, PositionFacts] = {}
        self._totals_ready = False
        self._positions_ready = False
        self._last: tuple[AccountFacts, tuple[PositionFacts, ...]] | None = None

    def positions(self) -> tuple[PositionFacts, ...]:
        """Return the positions, by symbol and contract."""
        return tuple(sorted(self._positions.values(), key=lambda facts: (facts.symbol, facts.con_id)))

    # ------------------------------------------------------------------------ handlers of raw messages

    def on_value(self, fields: list[str]) -> None:
        """Take an account value: ``6, version, tag, value, currency, account``."""
        if fields[2] in TAGS and fields[4] == CURRENCY and fields[5] == self.account:
            self._totals[TAGS[fields[2]]] = nano(fields[3])

    def on_time(self, _fields: list[str]) -> None:
        """Take the time of the account values, which closes a group of them."""
        self._report()

    def on_download_end(self, fields: list[str]) -> None:
        """Take the end of the account download."""
        if fields[2] != self.account:
            return
        self._totals_ready = True
        self._requests.end(ACCOUNT)
        self._report()

    def on_position(self, fields: list[str]) -> None:
        """Take a position: account, contract, ..., quantity and average cost as the last two."""
        if fields[2] != self.account:
            return
        quantity = micro(fields[14])
        if quantity is None:
            raise ValueError(f"position of {fields[4]} has the quantity {fields[14]!r}")
        facts = PositionFacts(
            symbol=fields[4],
            con_id=whole(fields[3]),
            quantity_micro=quantity,
            average_cost_nano=nano(fields[15]) or 0,
        )
        rows = self._requests.rows(POSITIONS)
        if rows is not None:
            rows.append(facts)
            return
        self._take(facts)
        self._report()

    def on_positions_end(self, _fields: list[str]) -> None:
        """Take the end of the positions that were asked for; they replace what was known."""
        rows = self._requests.rows(POSITIONS)
        if rows is None:
            return
        self._positions.clear()
        for facts in rows:
            self._take(facts)
        self._positions_ready = True
        self._requests.end(POSITIONS)
        self._report()

    def on_summary(self, fields: list[str]) -> None:
        """Take a row of an account summary: ``63, version, id, account, tag, value, currency``."""
        rows = self._requests.rows(whole(fields[2]))
        if rows is not None and fields[3] == self.account and fields[4] in TAGS and fields[6] == CURRENCY:
            rows.append((TAGS[fields[4]], nano(fields[5])))

    # ------------------------------------------------------------------------------------------ helpers

    def _take(self, facts: PositionFacts) -> None:
        if facts.quantity_micro:
            self._positions[facts.con_id] = facts
        else:
            self._positions.pop(facts.con_id, None)

    def _report(self) -> None:
        """Report the reading once both halves were downloaded, and again when either has changed."""
        if not (self._totals_ready and self._positions_ready):
            return
        reading = (account_facts(self.account, self._totals), self.positions())
        if reading == self._last:
            return
        self._last = reading
        self._observe(AccountObserved(ts_ns=self._clock.now_ns(), account=reading[0], positions=reading[1]))


def account_facts(account: str, totals: dict[str, int | None]) -> AccountFacts:
    """Return the totals as a value; what the broker did not tell is None."""
    return AccountFacts(
        account=account,
        net_liquidation_nano=totals.get("net_liquidation_nano"),
        cash_nano=totals.get("cash_nano"),
        settled_cash_nano=totals.get("settled_cash_nano"),
        available_funds_nano=totals.get("available_funds_nano"),
        gross_position_nano=totals.get("gross_position_nano"),
        initial_margin_nano=totals.get("initial_margin_nano"),
        maintenance_margin_nano=totals.get("maintenance_margin_nano"),
    )
