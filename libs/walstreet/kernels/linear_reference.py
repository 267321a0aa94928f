"""Owns the NumPy oracle of kept factors: textbook loops whose every element is reduced in the order of the pivots."""

from typing import Final

import numpy as np

from walstreet.kernels import _checks as checks
from walstreet.kernels.interface import VALUE_ABS_MAX, FloatArray
from walstreet.kernels.reference import _lane_sum as lane_sum

__all__ = [
    "FACTOR_COUNT_MAX",
    "LOW_RANK_COUNT_MAX",
    "PARITY_SWEEP_COUNT_MAX",
    "ReferenceCholesky",
    "ReferenceLowRank",
    "reference_risk_parity",
]

FACTOR_COUNT_MAX: Final = 2_048
LOW_RANK_COUNT_MAX: Final = 64
PARITY_SWEEP_COUNT_MAX: Final = 1_000
_SYMBOL_COUNT_MAX: Final = 1 << 20
_GROSS_MAX: Final = 1e6
_DIAGONAL_MIN: Final = 1e-150
_TOLERANCE_MIN: Final = 1e-14
_FLOAT_MAX: Final = float(np.finfo(np.float64).max)
_FINITE_RULE: Final = "must be finite and at most 1e+150; mask or repair it before the call"
_DIAGONAL_RULE: Final = "must be from 1e-150 to 1e+150; repair the specific variances"
_SIGN_RULE: Final = "must be -1, 0 or 1; 0 leaves a name out"


def _require_symmetric(matrix: FloatArray, name: str) -> None:
    """Refuse the first element of the lower triangle that is too large or unlike its mirror image."""
    lower = np.tri(len(matrix), dtype=np.bool_)
    unusable = lower & ~(np.abs(matrix) <= VALUE_ABS_MAX)
    unlike = lower & (matrix != matrix.T)
    if not (unusable | unlike).any():
        return
    row, column = (int(part) for part in np.argwhere(unusable | unlike)[0])
    place = f"{name}[{row}, {column}]: value is {float(matrix[row, column])!r}"
    if unusable[row, column]:
        raise ValueError(f"{place}, {_FINITE_RULE}")
    raise ValueError(f"{place}, but its mirror image is {float(matrix[column, row])!r}; pass a symmetric matrix")


def _checked_count(name: str, count: int, highest: int) -> int:
    if not 1 <= count <= highest:
        raise ValueError(f"{name}: value is {count}, must be from 1 to {highest}; pass another number")
    return count


def _upper_factor(matrix: FloatArray, name: str) -> FloatArray:
    """Return upper triangular U with U'U = matrix; only its upper triangle is read."""
    rest = np.triu(matrix)
    for row in range(len(rest)):
        pivot = rest[row, row]
        if not 0.0 < pivot <= _FLOAT_MAX:
            raise ValueError(f"{name}: is not positive definite at row {row}; raise the ridge or shrink the matrix")
        rest[row, row] = np.sqrt(pivot)
        tail = rest[row, row + 1 :] / rest[row, row]
        rest[row, row + 1 :] = tail
        rest[row + 1 :, row + 1 :] -= tail[:, None] * tail
    return np.triu(rest)


def _solve(upper: FloatArray, values: FloatArray) -> None:
    for row in range(len(upper)):
        values[row] = values[row] / upper[row, row]
        values[row + 1 :] -= values[row] * upper[row, row + 1 :]
    for row in range(len(upper) - 1, -1, -1):
        values[row] = values[row] / upper[row, row]
        values[:row] -= values[row] * upper[:row, row]


class _ReferenceSolver:
    """Solve and size with whatever system a subclass keeps."""

    def __init__(self, symbol_count: int) -> None:
        """Keep the size; nothing is factored yet."""
        self._symbol_count = symbol_count
        self._ready = False

    def _solve_in_place(self, values: FloatArray) -> None:
        raise NotImplementedError

    def _require_rows(self, rows: dict[str, FloatArray], *, written: str) -> None:
        for name, row in rows.items():
            checks.require_array(row, name, "float64", 1, written=name == written)
        for name, row in rows.items():
            checks.require_shape(row, name, (self._symbol_count,), "the solver")
        others = {name: row for name, row in rows.items() if name != written}
        checks.require_separate((written, rows[written]), others)

    def _require_ready(self) -> None:
        if not self._ready:
            raise ValueError("solver: holds no factor; call factor first, and look at why the last one was refused")

    def solve(self, values: FloatArray, solution: FloatArray) -> None:
        """Write the solution of the kept system."""
        self._require_rows({"values": values, "solution": solution}, written="solution")
        self._require_ready()
        checks.require_range(values, "values", -VALUE_ABS_MAX, VALUE_ABS_MAX, _FINITE_RULE)
        with np.errstate(all="ignore"):
            solution[:] = values
            self._solve_in_place(solution)

    def ridge_weights(self, z: FloatArray, sigma_day_bps: FloatArray, gross_budget: float, weights: FloatArray) -> None:
        """Write weights along the solution of the kept system."""
        self._require_rows({"z": z, "sigma_day_bps": sigma_day_bps, "weights": weights}, written="weights")
        checks.require_between("gross_budget", gross_budget, 0.0, _GROSS_MAX)
        self._require_ready()
        with np.errstate(all="ignore"):
            wanted = np.abs(z) <= VALUE_ABS_MAX
            values = np.where(wanted, z, 0.0)
            self._solve_in_place(values)
            known = np.isfinite(sigma_day_bps) & (sigma_day_bps > 0.0)
            ratio = values / np.where(known, sigma_day_bps, np.nan)
            raw = np.where(wanted & (np.abs(ratio) <= VALUE_ABS_MAX), ratio, 0.0)
            total = lane_sum(np.abs(raw))
            weights[:] = gross_budget * (raw / total) if total > 0.0 else 0.0


class ReferenceCholesky(_ReferenceSolver):
    """Keep the factor of a full matrix."""

    def __init__(self, symbol_count: int) -> None:
        """Keep the size."""
        super().__init__(_checked_count("symbol_count", symbol_count, FACTOR_COUNT_MAX))
        self._upper: FloatArray = np.zeros((0, 0))

    def factor(self, matrix: FloatArray, ridge: float) -> None:
        """Keep the factor of ``matrix + ridge * I``."""
        checks.require_array(matrix, "matrix", "float64", 2)
        checks.require_shape(matrix, "matrix", (self._symbol_count, self._symbol_count), "the solver")
        checks.require_between("ridge", ridge, 0.0, VALUE_ABS_MAX)
        _require_symmetric(matrix, "matrix")
        self._ready = False
        ridged = matrix.copy()
        np.fill_diagonal(ridged, np.diagonal(matrix) + ridge)
        with np.errstate(all="ignore"):
            self._upper = _upper_factor(ridged, "matrix")
        self._ready = True

    def _solve_in_place(self, values: FloatArray) -> None:
        _solve(self._upper, values)


class ReferenceLowRank(_ReferenceSolver):
    """Keep a factor model ``diagonal + loadings' loadings``."""

    def __init__(self, symbol_count: int, factor_count: int) -> None:
        """Keep the sizes."""
        super().__init__(_checked_count("symbol_count", symbol_count, _SYMBOL_COUNT_MAX))
        self._factor_count = _checked_count("factor_count", factor_count, LOW_RANK_COUNT_MAX)
        self._diagonal: FloatArray = np.zeros(0)
        self._loadings: FloatArray = np.zeros((0, 0))
        self._core: FloatArray = np.zeros((0, 0))

    def factor(self, diagonal: FloatArray, loadings: FloatArray) -> None:
        """Keep the factor of ``I + loadings diagonal^-1 loadings'``."""
        checks.require_array(diagonal, "diagonal", "float64", 1)
        checks.require_array(loadings, "loadings", "float64", 2)
        checks.require_shape(diagonal, "diagonal", (self._symbol_count,), "the solver")
        checks.require_shape(loadings, "loadings", (self._factor_count, self._symbol_count), "the solver")
        checks.require_range(diagonal, "diagonal", _DIAGONAL_MIN, VALUE_ABS_MAX, _DIAGONAL_RULE)
        unusable = ~(np.abs(loadings) <= VALUE_ABS_MAX)
        if unusable.any():
            row, column = (int(part) for part in np.argwhere(unusable)[0])
            raise ValueError(f"loadings[{row}, {column}]: value is {float(loadings[row, column])!r}, {_FINITE_RULE}")
        self._ready = False
        self._diagonal, self._loadings = diagonal.copy(), loadings.copy()
        core = np.zeros((self._factor_count, self._factor_count))
        with np.errstate(all="ignore"):
            for row in range(self._factor_count):
                for column in range(row, self._factor_count):
                    core[row, column] = lane_sum(loadings[row] * (loadings[column] / diagonal))
                core[row, row] += 1.0
            self._core = _upper_factor(core, "loadings")
        self._ready = True

    def _solve_in_place(self, values: FloatArray) -> None:
        scaled = values / self._diagonal
        projection = np.array([lane_sum(row * scaled) for row in self._loadings])
        _solve(self._core, projection)
        for row, share in zip(self._loadings, projection, strict=True):
            values -= row * share
        values /= self._diagonal


def _require_parity(covariance: FloatArray, signs: FloatArray, rows: dict[str, FloatArray]) -> None:
    checks.require_array(covariance, "covariance", "float64", 2)
    checks.require_array(signs, "signs", "float64", 1)
    for name, row in rows.items():
        checks.require_array(row, name, "float64", 1, written=True)
    count = len(signs)
    checks.require_extent(signs, "signs", 0, FACTOR_COUNT_MAX, "names")
    checks.require_shape(covariance, "covariance", (count, count), "signs")
    for name, row in rows.items():
        checks.require_shape(row, name, (count,), "signs")
    inputs = {"covariance": covariance, "signs": signs}
    checks.require_separate(("weights", rows["weights"]), inputs | {"marginal": rows["marginal"]})
    checks.require_separate(("marginal", rows["marginal"]), inputs)


def _require_signs(covariance: FloatArray, signs: FloatArray) -> None:
    for row, sign in enumerate(signs.tolist()):
        if sign not in {-1.0, 0.0, 1.0}:
            raise ValueError(f"signs[{row}]: value is {sign!r}, {_SIGN_RULE}")
        variance = float(covariance[row, row])
        if sign != 0.0 and not variance > 0.0:
            raise ValueError(
                f"covariance[{row}, {row}]: value is {variance!r}, "
                "must be above 0 for a name with a sign; leave the name out"
            )


def reference_risk_parity(  # noqa: PLR0917 - mirrors the native call
    covariance: FloatArray,
    signs: FloatArray,
    gross: float,
    tolerance: float,
    marginal: FloatArray,
    weights: FloatArray,
) -> int:
    """Write weights of equal risk by cyclical coordinate descent and return the sweeps."""
    _require_parity(covariance, signs, {"marginal": marginal, "weights": weights})
    checks.require_between("gross", gross, 0.0, _GROSS_MAX)
    checks.require_between("tolerance", tolerance, _TOLERANCE_MIN, 1.0)
    _require_symmetric(covariance, "covariance")
    _require_signs(covariance, signs)
    names = np.flatnonzero(signs).tolist()
    with np.errstate(all="ignore"):
        marginal[:] = 0.0
        weights[:] = 0.0
        for row in names:
            weights[row] = signs[row] / np.sqrt(covariance[row, row])
            marginal += covariance[row] * weights[row]
        sweeps, largest_change = 0, 1.0 if names else 0.0
        while not largest_change <= tolerance and sweeps < PARITY_SWEEP_COUNT_MAX:
            sweeps += 1
            largest_change = _sweep(covariance, signs, names, marginal, weights)
        total = lane_sum(np.abs(weights))
        weights[:] = gross * (weights / total) if total > 0.0 else 0.0
    return sweeps if largest_change <= tolerance else PARITY_SWEEP_COUNT_MAX + 1


def _sweep(
    covariance: FloatArray, signs: FloatArray, names: list[int], marginal: FloatArray, weights: FloatArray
) -> float:
    """Move every coordinate to its own optimum once and return the largest relative change."""
    budget = np.float64(1.0 / len(names))
    largest_change = np.float64(0.0)
    for row in names:
        sign, variance = signs[row], covariance[row, row]
        old = sign * weights[row]
        others = sign * marginal[row] - variance * old
        root = np.sqrt(others * others + 4.0 * variance * budget)
        moved = 2.0 * budget / (others + root) if others > 0.0 else (root - others) / (2.0 * variance)
        change = np.abs(moved - old) / moved
        largest_change = np.maximum(largest_change, change)
        weights[row] = sign * moved
        marginal += covariance[row] * (sign * (moved - old))
    return float(largest_change)
