"""Owns the contract facts of well-known symbols that price files do not carry."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN_SECTOR = "Unknown"
MIN_TICK_NANO = 10_000_000
LOT_SIZE_SHARES = 100


@dataclass(frozen=True, slots=True)
class Reference:
    """Name, listing exchange, kind (``ETF`` or ``COMMON``) and sector of one symbol."""

    long_name: str
    primary_exchange: str
    stock_type: str
    sector: str


_BROAD = "Broad Market"
_BONDS = "Fixed Income"

REFERENCES: dict[str, Reference] = {
    "SPY": Reference("SPDR S&P 500 ETF TRUST", "ARCA", "ETF", _BROAD),
    "QQQ": Reference("INVESCO QQQ TRUST SERIES 1", "NASDAQ", "ETF", _BROAD),
    "VTI": Reference("VANGUARD TOTAL STOCK MKT ETF", "ARCA", "ETF", _BROAD),
    "EWZ": Reference("ISHARES MSCI BRAZIL ETF", "ARCA", "ETF", _BROAD),
    "XLE": Reference("ENERGY SELECT SECTOR SPDR", "ARCA", "ETF", "Energy"),
    "XBI": Reference("SPDR S&P BIOTECH ETF", "ARCA", "ETF", "Health Care"),
    "GLD": Reference("SPDR GOLD SHARES", "ARCA", "ETF", "Commodities"),
    "BITO": Reference("PROSHARES BITCOIN STRATEGY E", "ARCA", "ETF", "Digital Assets"),
    "TLT": Reference("ISHARES 20+ YEAR TREASURY BD", "NASDAQ", "ETF", _BONDS),
    "IEF": Reference("ISHARES 7-10 YEAR TREASURY B", "NASDAQ", "ETF", _BONDS),
    "BND": Reference("VANGUARD TOTAL BOND MARKET", "NASDAQ", "ETF", _BONDS),
    "AGG": Reference("ISHARES CORE U.S. AGGREGATE", "ARCA", "ETF", _BONDS),
    "LQD": Reference("ISHARES IBOXX INVESTMENT GRA", "ARCA", "ETF", _BONDS),
    "AAPL": Reference("APPLE INC", "NASDAQ", "COMMON", "Technology"),
    "MSFT": Reference("MICROSOFT CORP", "NASDAQ", "COMMON", "Technology"),
    "AMZN": Reference("AMAZON.COM INC", "NASDAQ", "COMMON", "Consumer Discretionary"),
    "TSLA": Reference("TESLA INC", "NASDAQ", "COMMON", "Consumer Discretionary"),
    "JPM": Reference("JPMORGAN CHASE & CO", "NYSE", "COMMON", "Financials"),
}


def reference_of(symbol: str) -> Reference:
    """Return the facts of a symbol; for one that is not in the table, its name stands in for its long name."""
    return REFERENCES.get(symbol) or Reference(symbol, "NYSE", "COMMON", UNKNOWN_SECTOR)
