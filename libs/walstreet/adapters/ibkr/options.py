"""Owns the options of one broker connection."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from walstreet.domain.governor import GovernorParameters

LibraryName = Literal["ib_insync", "ib_async"]
MarketDataType = Literal["live", "delayed"]

PORT_MAX = 65_535
CLIENT_ID_MAX = 999_999
REQUEST_TIMEOUT_S_MAX = 600.0


class ConnectOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to connect, as whom, through which library, and how patiently."""

    host: str = "127.0.0.1"
    port: int = 4002
    client_id: int = 1
    """Constant for the life of an installation: orders belong to the client id that placed them."""
    account: str = ""
    """Empty takes the only account of the login, and is refused when there are several."""
    library: LibraryName = "ib_insync"
    market_data_type: MarketDataType = "live"
    request_timeout_s: float = 10.0
    paced: bool = True
    """False in simulation only: the simulator has no message limits that wall time could meet."""
    governor: GovernorParameters = GovernorParameters()
    """The pace, if ``paced``."""
    orders: bool = True
    """False for a connection that takes market data only: account and orders are then not synchronised."""
    fractional: bool = False
    """Whether this gateway takes fractions of a share; the TWS API refuses them with code 10243."""
    broker_bars: bool = True
    """Whether ``stream`` also subscribes the broker's five-second bars."""
    borrow: bool = False
    """Whether ``stream`` also asks what can be borrowed."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if not self.host:
            raise ValueError("broker.host is empty; allowed is a host name or an address")
        if not 1 <= self.port <= PORT_MAX:
            raise ValueError(f"broker.port is {self.port}; allowed is 1 to {PORT_MAX}")
        if not 0 <= self.client_id <= CLIENT_ID_MAX:
            raise ValueError(f"broker.client_id is {self.client_id}; allowed is 0 to {CLIENT_ID_MAX}")
        if not (math.isfinite(self.request_timeout_s) and 0.1 <= self.request_timeout_s <= REQUEST_TIMEOUT_S_MAX):
            raise ValueError(
                f"broker.request_timeout_s is {self.request_timeout_s}; allowed is 0.1 to {REQUEST_TIMEOUT_S_MAX}"
            )
