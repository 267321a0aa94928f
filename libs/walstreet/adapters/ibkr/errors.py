"""Owns the exceptions of the broker adapter, each saying whose fault it is.

Tree: ``BrokerError`` > ``BrokerRefusedError`` (the broker said no), ``BrokerTimeoutError`` (the broker said
nothing), ``BrokerLostError`` (the connection is gone), ``LibraryMissingError`` (our installation).
"""

from __future__ import annotations


class BrokerError(Exception):
    """Base of everything that can go wrong at the broker's side of the port."""


class BrokerRefusedError(BrokerError):
    """The broker refused a request; ``code`` is its message code, 0 when we refused on its behalf."""

    def __init__(self, text: str, *, code: int = 0) -> None:
        """Keep the broker's code beside the text."""
        super().__init__(text)
        self.code = code


class BrokerTimeoutError(BrokerError):
    """The broker did not answer in time; what the request did is unknown."""


class BrokerLostError(BrokerError):
    """The connection is not there, or went away during a request."""


class LibraryMissingError(BrokerError):
    """The client library that the configuration names cannot be imported; our installation's fault."""
