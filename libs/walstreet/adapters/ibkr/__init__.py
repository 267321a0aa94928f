"""Owns the connection to Interactive Brokers; the only importer of ib_insync and ib_async."""

from walstreet.adapters.ibkr.broker import IbkrBroker
from walstreet.adapters.ibkr.errors import (
    BrokerError,
    BrokerLostError,
    BrokerRefusedError,
    BrokerTimeoutError,
    LibraryMissingError,
)
from walstreet.adapters.ibkr.governor import Priority, RateGovernor
from walstreet.adapters.ibkr.options import ConnectOptions

__all__ = [
    "BrokerError",
    "BrokerLostError",
    "BrokerRefusedError",
    "BrokerTimeoutError",
    "ConnectOptions",
    "IbkrBroker",
    "LibraryMissingError",
    "Priority",
    "RateGovernor",
]
