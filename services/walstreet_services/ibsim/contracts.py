"""Owns the contract data: which instruments exist and which of them an incomplete contract means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from walstreet_services.ibsim import replies
from walstreet_services.ibsim.times import hours_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from walstreet_services.ibsim.model import Instrument, Session
    from walstreet_services.ibsim.requests import ContractSpec

ROUTES = ("SMART", "AMEX", "ARCA", "BATS", "IEX", "ISLAND", "NASDAQ", "NYSE")
"""Destinations that every instrument accepts, besides its primary exchange."""
ORDER_TYPES = "DAY,GTC,GTD,IOC,LMT,MKT,WHATIF"
CENT_NANO = 10_000_000
CENT_RULE_ID = 26
"""The broker's id of the one-cent rule; other increments get ids of our own above ``OWN_RULE_ID_FIRST``."""
OWN_RULE_ID_FIRST = 5000
SYMBOL_SAMPLES_MAX = 16


class ContractBook:
    """Finds instruments and encodes what is known of them."""

    def __init__(self, instruments: Sequence[Instrument], sessions: Sequence[Session]) -> None:
        self._instruments = tuple(instruments)
        self._by_con_id = {item.con_id: index for index, item in enumerate(self._instruments)}
        self._by_symbol = {item.symbol: index for index, item in enumerate(self._instruments)}
        assert len(self._by_con_id) == len(self._by_symbol) == len(self._instruments)
        self._hours = ";".join(hours_text(item.open_ns, item.close_ns) for item in sessions)
        ticks = sorted({item.min_tick_nano for item in self._instruments} - {CENT_NANO})
        self._rule_by_tick = {tick: OWN_RULE_ID_FIRST + place for place, tick in enumerate(ticks)}
        self._rule_by_tick[CENT_NANO] = CENT_RULE_ID
        self._tick_by_rule = {rule: tick for tick, rule in self._rule_by_tick.items()}

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Return the instruments in the order of the market's arrays."""
        return self._instruments

    def valid_exchanges(self, instrument: Instrument) -> list[str]:
        """Return the destinations that the instrument accepts."""
        return [*ROUTES, *([instrument.primary_exchange] if instrument.primary_exchange not in ROUTES else [])]

    def find(self, spec: ContractSpec) -> int | None:
        """Return the position of the instrument that a contract means, None when there is none."""
        if spec.con_id:
            index = self._by_con_id.get(spec.con_id)
        else:
            index = self._by_symbol.get(spec.symbol or spec.local_symbol)
        if index is None:
            return None
        item = self._instruments[index]
        fits = (
            spec.sec_type in {"", "STK"}
            and spec.currency in {"", "USD"}
            and spec.symbol in {"", item.symbol}
            and spec.local_symbol in {"", item.symbol}
            and (not spec.exchange or spec.exchange in self.valid_exchanges(item))
            and spec.primary_exchange in {"", "SMART", item.primary_exchange}
        )
        # The exchange ISLAND is the old name of NASDAQ and still names it as a primary exchange.
        island = spec.primary_exchange == "ISLAND" and item.primary_exchange == "NASDAQ"
        return index if fits or (island and spec.sec_type in {"", "STK"}) else None

    def details(self, server_version: int, req_id: int, spec: ContractSpec) -> bytes | None:
        """Return the contract details and their end, None when there is no such contract."""
        index = self.find(spec)
        if index is None:
            return None
        item = self._instruments[index]
        answer = replies.contract_details(
            server_version,
            req_id,
            item,
            exchange=spec.exchange or "SMART",
            valid_exchanges=",".join(self.valid_exchanges(item)),
            rule_id=self._rule_by_tick[item.min_tick_nano],
            order_types=ORDER_TYPES,
            hours=self._hours,
        )
        return answer + replies.contract_details_end(req_id)

    def search(self, pattern: str) -> list[Instrument]:
        """Return the instruments whose symbol starts with, or whose name contains, the pattern."""
        wanted = pattern.strip().upper()
        found = [
            item
            for item in self._instruments
            if wanted and (item.symbol.startswith(wanted) or wanted in item.long_name.upper())
        ]
        return found[:SYMBOL_SAMPLES_MAX]

    def rule(self, rule_id: int) -> int | None:
        """Return the price increment of a market rule in 1e-9 USD."""
        return self._tick_by_rule.get(rule_id)
