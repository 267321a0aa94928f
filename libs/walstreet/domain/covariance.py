"""Owns the running correlation of 5-minute returns: exponentially weighted moments per pair, updated bar by bar.

Returns run between two consecutive 5-minute closes, so neither the overnight gap nor a gap in the feed is one (and
no split or dividend either). Their mean is taken as zero, as usual at this horizon. Each *pair* has moments over the
bars that had both returns: a missing return leaves every pair without that symbol untouched, to the bit, and a
correlation always lies in [-1, 1]. If returns are missing at different times for different symbols, pairwise
estimates may contradict each other; ``shrinkage`` then proves, and if need be restores, positive definiteness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import numpy as np

from walstreet import kernels
from walstreet.domain.bounds import require_between
from walstreet.domain.linear_solve import ORDER_MAX
from walstreet.domain.pair_moments import PairMoments
from walstreet.domain.shrinkage import EIGENVALUE_MIN, definite_shrinkage, ledoit_wolf_intensity, shrunk
from walstreet.domain.units import BPS, MINUTE_NS, SESSION_MINUTES, SIGMA_BASE_MINUTES, BoolArray, FloatArray

BAR_NS = SIGMA_BASE_MINUTES * MINUTE_NS
RETURNS_PER_SESSION = SESSION_MINUTES // SIGMA_BASE_MINUTES - 1
"""77: the first 5-minute close of a session has no predecessor."""
SESSIONS_MIN = 5
SESSIONS_MAX = 250
SYMBOLS_MAX = 500
"""Symbols that are followed; the memory is six matrices of this order. Further ones stay unknown."""
BARS_MAX = SESSIONS_MAX * RETURNS_PER_SESSION
"""Longest batch of returns."""

assert SYMBOLS_MAX <= ORDER_MAX
assert RETURNS_PER_SESSION == 77


class CovarianceParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Memory of the correlation, what it needs before it is used, and how it is shrunk."""

    half_life_bars: float = float(SESSIONS_MIN * RETURNS_PER_SESSION)
    """In 5-minute returns; 385 are five full sessions."""
    history_bars_min: int = SESSIONS_MIN * RETURNS_PER_SESSION
    """Common returns of a pair before its correlation is used; a session has at most 77, so at least five days."""
    presence_min: float = 0.5
    """Least weight of a pair's common returns as a share of all bars' weight, so that old news is not a history."""
    return_abs_bps_max: float = 2_000.0
    """A larger 5-minute return is a broken price, so missing."""
    shrinkage: Literal["ledoit_wolf", "fixed"] = "ledoit_wolf"
    shrinkage_fixed: float = 0.1
    """Weight of the identity under ``fixed``."""
    shrinkage_min: float = 0.01
    """Least weight of the identity, so the smallest eigenvalue where all returns are there."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        bars_low, bars_high = SESSIONS_MIN * RETURNS_PER_SESSION, SESSIONS_MAX * RETURNS_PER_SESSION
        require_between("covariance", "half_life_bars", self.half_life_bars, RETURNS_PER_SESSION, bars_high)
        require_between("covariance", "history_bars_min", self.history_bars_min, bars_low, bars_high)
        require_between("covariance", "presence_min", self.presence_min, 0.01, 1.0)
        require_between("covariance", "return_abs_bps_max", self.return_abs_bps_max, 100.0, BPS)
        require_between("covariance", "shrinkage_fixed", self.shrinkage_fixed, 0.0, 1.0)
        require_between("covariance", "shrinkage_min", self.shrinkage_min, 2.0 * EIGENVALUE_MIN, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorrelationEstimate:
    """The shrunk correlation of one moment; its principal submatrices are positive definite as well."""

    symbols: tuple[str, ...]
    correlation: FloatArray
    """(N, N), 1 on the diagonal, NaN where the pair is unknown; positive definite with NaN read as 0."""
    intensity: float
    """Ledoit-Wolf weight of the identity, 1 without any known pair."""
    shrinkage: float
    """Weight of the identity that was used; more than asked for only to restore definiteness."""

    def aligned(self, symbols: Sequence[str]) -> FloatArray:
        """Return (n, n) correlation of ``symbols``: 1 on the diagonal, NaN where unknown or not followed."""
        place = {symbol: index for index, symbol in enumerate(self.symbols)}
        index = np.array([place.get(symbol, -1) for symbol in symbols], dtype=np.int64)
        result = np.full((len(index), len(index)), np.nan)
        inside = np.flatnonzero(index >= 0)
        source = index[inside]
        result[inside[:, None], inside[None, :]] = self.correlation[source[:, None], source[None, :]]
        np.fill_diagonal(result, 1.0)
        return result


def estimate_correlation(
    moments: PairMoments, usable: BoolArray, symbols: tuple[str, ...], parameters: CovarianceParameters
) -> CorrelationEstimate:
    """Return the shrunk correlation of the moments.

    ``rho_ij = sum w r_i r_j / sqrt(sum w r_i^2 * sum w r_j^2)`` over the bars with both returns (RiskMetrics Technical
    Document, 4th edition 1996, section 5.2), then ``(1 - s)*rho`` off the diagonal. Where all symbols miss the same
    bars, rho is a Gram matrix, so positive semidefinite, and its eigenvalues after shrinkage are at least s.

    Args:
        moments: Of N symbols.
        usable: (N, N) symmetric, from ``PairMoments.usable``.
        symbols: N names.
        parameters: How to shrink.
    """
    result = np.full((len(symbols), len(symbols)), np.nan)
    np.fill_diagonal(result, 1.0)
    # Symbols without a history of their own take no part at all, not even in the order of a sum.
    index = np.flatnonzero(np.diagonal(usable))
    if len(index) == 0:
        return CorrelationEstimate(symbols=symbols, correlation=result, intensity=1.0, shrinkage=1.0)
    part, known = moments.chosen(index), usable[index[:, None], index[None, :]]
    scale = np.where(known, part.own * part.own.T, 1.0)
    rho = np.where(known, np.clip(part.cross / np.sqrt(scale), -1.0, 1.0), 0.0)
    np.fill_diagonal(rho, 1.0)
    weight = np.where(known, part.weight, 1.0)
    product_square = part.fourth * weight / scale
    concentration = part.weight_square / (weight * weight)
    intensity = ledoit_wolf_intensity(rho, product_square, concentration, known)
    asked = intensity if parameters.shrinkage == "ledoit_wolf" else parameters.shrinkage_fixed
    shrinkage = max(asked, parameters.shrinkage_min)
    if not (bool(known.all()) and part.complete()):
        shrinkage = definite_shrinkage(rho, shrinkage)
    result[index[:, None], index[None, :]] = np.where(known, shrunk(rho, shrinkage), np.nan)
    return CorrelationEstimate(symbols=symbols, correlation=result, intensity=intensity, shrinkage=shrinkage)


def batch_correlation(
    returns_bps: FloatArray, symbols: tuple[str, ...], parameters: CovarianceParameters
) -> CorrelationEstimate:
    """Return the Ledoit-Wolf correlation of a table of returns, every bar with the same weight.

    Args:
        returns_bps: (T, N), at most ``BARS_MAX`` bars; NaN is missing.
        symbols: N names, at most ``SYMBOLS_MAX``.
        parameters: How to shrink; history and presence are the caller's business, two common bars are enough.
    """
    assert returns_bps.shape[1:] == (len(symbols),), (returns_bps.shape, len(symbols))
    assert len(returns_bps) <= BARS_MAX, f"{len(returns_bps)} bars exceed the bound of {BARS_MAX}"
    assert len(symbols) <= SYMBOLS_MAX, f"{len(symbols)} symbols exceed the bound of {SYMBOLS_MAX}"
    moments = PairMoments.create(len(symbols))
    for row in returns_bps:
        moments.update(row, 1.0)
    return estimate_correlation(moments, moments.usable(2, 0.0), symbols, parameters)


@dataclass(slots=True, kw_only=True, eq=False)
class CovarianceState:
    """What has been learnt from the bars so far; symbols join in the order in which they are first seen."""

    parameters: CovarianceParameters
    symbols: tuple[str, ...] = ()
    """At most ``SYMBOLS_MAX``."""
    end_ns: int = 0
    """End of the newest 5-minute bar."""
    price_usd: FloatArray = field(default_factory=lambda: np.zeros(0))
    """(N,) its prices, NaN where missing."""
    weight: float = 0.0
    """Sum of the weights of all bars that had a return."""
    bars: int = 0
    moments: PairMoments = field(default_factory=lambda: PairMoments.create(0))
    _decay: float = field(init=False)
    _place: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Derive what follows from the other fields."""
        self._decay = 1.0 - kernels.alpha_from_half_life_bars(self.parameters.half_life_bars)
        self._place = {symbol: index for index, symbol in enumerate(self.symbols)}

    def observe_prices(self, end_ns: int, symbols: Sequence[str], price_usd: FloatArray) -> bool:
        """Learn the prices of the bar that ended at ``end_ns``; return whether it gave a return of any symbol.

        A bar that does not end on a multiple of five minutes, or not after the newest one, changes nothing.

        Args:
            end_ns: End of the bar, UTC.
            symbols: n distinct names; those beyond ``SYMBOLS_MAX`` are left out.
            price_usd: (n,) close or mid; NaN where the bar had no trade, for a carried price is a false 0.
        """
        assert price_usd.shape == (len(symbols),), (price_usd.shape, len(symbols))
        if end_ns % BAR_NS != 0 or end_ns <= self.end_ns:
            return False
        self._admit(symbols)
        prices = np.full(len(self.symbols), np.nan)
        for symbol, price in zip(symbols, price_usd.tolist(), strict=True):
            index = self._place.get(symbol)
            if index is not None and 0.0 < price < np.inf:
                prices[index] = price
        follows = end_ns - self.end_ns == BAR_NS
        previous, self.price_usd, self.end_ns = self.price_usd, prices, end_ns
        if not follows:
            return False
        with np.errstate(over="ignore"):
            returns = (prices / previous - 1.0) * BPS
        returns[~(np.abs(returns) <= self.parameters.return_abs_bps_max)] = np.nan
        if not bool(np.isfinite(returns).any()):
            return False
        self.moments.update(returns, self._decay)
        self.weight = self.weight * self._decay + 1.0
        self.bars += 1
        return True

    def _admit(self, symbols: Sequence[str]) -> None:
        """Make room for symbols that were never seen, up to the bound."""
        fresh = [symbol for symbol in dict.fromkeys(symbols) if symbol not in self._place]
        fresh = fresh[: SYMBOLS_MAX - len(self.symbols)]
        if not fresh:
            return
        self.symbols = (*self.symbols, *fresh)
        self._place = {symbol: index for index, symbol in enumerate(self.symbols)}
        self.moments = self.moments.grown(len(self.symbols))
        self.price_usd = np.append(self.price_usd, np.full(len(fresh), np.nan))

    def estimate(self) -> CorrelationEstimate:
        """Return the shrunk correlation; it changes only when ``observe_prices`` returned True."""
        weight_min = self.parameters.presence_min * self.weight
        usable = self.moments.usable(self.parameters.history_bars_min, weight_min)
        return estimate_correlation(self.moments, usable, self.symbols, self.parameters)

    def canonical(self) -> tuple[object, ...]:
        """Return everything that was learnt as nested tuples and bytes, for a digest."""
        moments = self.moments
        sums = (moments.weight, moments.weight_square, moments.cross, moments.own, moments.fourth)
        return (
            self.symbols,
            self.end_ns,
            self.bars,
            np.float64(self.weight).tobytes(),
            self.price_usd.tobytes(),
            *(values.tobytes() for values in sums),
            moments.count.tobytes(),
        )
