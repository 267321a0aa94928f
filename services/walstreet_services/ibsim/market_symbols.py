"""Owns the symbols of the synthetic world: twenty fictitious companies, and parameters for any other name."""

from __future__ import annotations

from dataclasses import dataclass

from walstreet_services.ibsim.market_reference import REFERENCES, UNKNOWN_SECTOR, reference_of
from walstreet_services.ibsim.market_streams import unit_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolSpec:
    """The parameters of one synthetic symbol."""

    symbol: str
    long_name: str
    primary_exchange: str
    stock_type: str
    sector: str
    price_dollars: float
    """The level around which its price moves."""
    daily_volume_shares: int
    own_volatility: float
    """Standard deviation of the daily return that neither market nor sector explains."""
    beta: float


_TECHNOLOGY, _FINANCIALS, _HEALTH, _ENERGY, _CONSUMER = (
    "Technology",
    "Financials",
    "Health Care",
    "Energy",
    "Consumer Staples",
)
# Columns: name, sector, price in dollars, daily volume in shares, own daily volatility, beta.
_COMPANIES: tuple[tuple[str, str, float, int, float, float], ...] = (
    ("Aldermoor Systems", _TECHNOLOGY, 172.0, 38_000_000, 0.011, 1.20),
    ("Brightwater Devices", _TECHNOLOGY, 108.0, 24_000_000, 0.010, 1.10),
    ("Corvane Networks", _TECHNOLOGY, 46.0, 9_000_000, 0.014, 1.25),
    ("Dunmere Software", _TECHNOLOGY, 265.0, 4_000_000, 0.016, 1.30),
    ("Eastholm Bancorp", _FINANCIALS, 102.0, 13_000_000, 0.008, 1.05),
    ("Fenwick Capital", _FINANCIALS, 64.0, 7_500_000, 0.009, 1.10),
    ("Garrow Insurance", _FINANCIALS, 88.0, 2_600_000, 0.009, 0.85),
    ("Hartsell Trust", _FINANCIALS, 31.0, 16_000_000, 0.011, 1.15),
    ("Ivybridge Pharma", _HEALTH, 79.0, 8_000_000, 0.009, 0.75),
    ("Jessamine Biologics", _HEALTH, 143.0, 1_800_000, 0.018, 1.00),
    ("Kestrel Medical", _HEALTH, 212.0, 2_200_000, 0.010, 0.80),
    ("Larkhill Diagnostics", _HEALTH, 52.0, 3_400_000, 0.012, 0.90),
    ("Marlpit Petroleum", _ENERGY, 74.0, 11_000_000, 0.010, 0.95),
    ("Northolt Drilling", _ENERGY, 27.0, 14_000_000, 0.018, 1.20),
    ("Oakhanger Pipelines", _ENERGY, 39.0, 5_200_000, 0.009, 0.80),
    ("Pellworth Refining", _ENERGY, 93.0, 3_100_000, 0.013, 1.05),
    ("Quorndon Foods", _CONSUMER, 58.0, 6_800_000, 0.007, 0.55),
    ("Rushbourne Household", _CONSUMER, 121.0, 7_200_000, 0.007, 0.50),
    ("Stanwick Beverages", _CONSUMER, 47.0, 10_000_000, 0.006, 0.50),
    ("Thornbury Stores", _CONSUMER, 156.0, 4_600_000, 0.009, 0.65),
)
SYNTHETIC_SPECS: dict[str, SymbolSpec] = {
    f"SYN{number:02d}": SymbolSpec(
        symbol=f"SYN{number:02d}",
        long_name=long_name.upper(),
        primary_exchange="NYSE",
        stock_type="COMMON",
        sector=sector,
        price_dollars=price,
        daily_volume_shares=volume,
        own_volatility=volatility,
        beta=beta,
    )
    for number, (long_name, sector, price, volume, volatility, beta) in enumerate(_COMPANIES, start=1)
}
DEFAULT_SYMBOLS: tuple[str, ...] = tuple(SYNTHETIC_SPECS)


def spec_of(symbol: str) -> SymbolSpec:
    """Return the parameters of a symbol; one without a table entry gets them from a hash of its name.

    Real tickers keep their names and sectors, but their prices are as invented as all others.
    """
    known = SYNTHETIC_SPECS.get(symbol)
    if known is not None:
        return known
    facts = reference_of(symbol)
    fund = symbol in REFERENCES and facts.stock_type == "ETF"
    own_low, own_high = (0.002, 0.005) if fund else (0.007, 0.018)
    return SymbolSpec(
        symbol=symbol,
        long_name=facts.long_name,
        primary_exchange=facts.primary_exchange,
        stock_type=facts.stock_type,
        sector=facts.sector if facts.sector != UNKNOWN_SECTOR else "Diversified",
        price_dollars=round(25.0 * 12.0 ** unit_interval(symbol + ":price"), 2),
        daily_volume_shares=int(1_500_000 * 25.0 ** unit_interval(symbol + ":volume")),
        own_volatility=own_low + (own_high - own_low) * unit_interval(symbol + ":volatility"),
        beta=round(0.5 + 0.9 * unit_interval(symbol + ":beta"), 2),
    )
