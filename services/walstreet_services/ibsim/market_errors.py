"""Owns the refusals of the market half of the simulator, each saying whose fault it is."""

from __future__ import annotations


class MarketError(ValueError):
    """Base of everything that a simulated market refuses.

    Tree: ``MarketError`` > ``MarketDataError`` (a file is missing or wrong), ``MarketRequestError`` (the caller
    asked for something that this market cannot give).
    """


class MarketDataError(MarketError):
    """Recorded data are missing or broken; the message names file, place, value and remedy."""


class MarketRequestError(MarketError):
    """The caller asked for something that does not exist; the message names the value and what exists."""
