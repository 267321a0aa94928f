# Owns the types of the compiled kernels; shapes and units stand in walstreet.kernels.

from numpy import float64, int64, uint8
from numpy.typing import NDArray

__version__: str
INTERFACE_VERSION: int

def available_levels() -> list[str]: ...
def compiled_levels() -> list[str]: ...
def level() -> str: ...
def set_level(name: str) -> None: ...
def ordered_sum(values: NDArray[float64]) -> float: ...
def ordered_dot(left: NDArray[float64], right: NDArray[float64]) -> float: ...
def simplex_projection(values: NDArray[float64], projection: NDArray[float64]) -> None: ...
def blend(
    predictions: NDArray[float64],
    weights: NDArray[float64],
    blended: NDArray[float64],
    weight_present: NDArray[float64],
) -> None: ...
def ewma_update(
    values: NDArray[float64],
    alphas: NDArray[float64],
    mean: NDArray[float64],
    variance: NDArray[float64],
    status: NDArray[uint8],
) -> None: ...
def rolling_update(
    values: NDArray[float64],
    ring: NDArray[float64],
    bars_seen: NDArray[int64],
    windows: NDArray[int64],
    planes: NDArray[int64],
    status: NDArray[uint8],
    statistics: NDArray[float64],
) -> None: ...
def ring_returns(
    ring: NDArray[float64],
    bars_seen: NDArray[int64],
    lags: NDArray[int64],
    returns: NDArray[float64],
) -> None: ...

class Forest:
    def __init__(
        self,
        *,
        feature_count: int,
        class_count: int,
        transform: int,
        sigmoid: float,
        averages: bool,
        leaf_counts: NDArray[int64],
        features: NDArray[int64],
        thresholds: NDArray[float64],
        decisions: NDArray[int64],
        left: NDArray[int64],
        right: NDArray[int64],
        sets: NDArray[int64],
        set_bounds: NDArray[int64],
        set_words: NDArray[int64],
        leaf_values: NDArray[float64],
        may_mask: bool = True,
    ) -> None: ...
    def predict(self, rows: NDArray[float64], outputs: NDArray[float64]) -> None: ...
    def predict_raw(self, rows: NDArray[float64], outputs: NDArray[float64]) -> None: ...
    @property
    def tree_count(self) -> int: ...
    @property
    def feature_count(self) -> int: ...
    @property
    def class_count(self) -> int: ...
    @property
    def leaf_count_max(self) -> int: ...
    @property
    def path(self) -> str: ...

DECISION_INTERFACE_VERSION: int

def portable_exp(values: NDArray[float64], results: NDArray[float64]) -> None: ...
def portable_log(values: NDArray[float64], results: NDArray[float64]) -> None: ...
def portable_power(values: NDArray[float64], exponent: float, results: NDArray[float64]) -> None: ...
def calibrate_blend(
    scores: NDArray[float64],
    horizon_of_model: NDArray[int64],
    slopes: NDArray[float64],
    weights: NDArray[float64],
    sigma_horizon: NDArray[float64],
    raw: NDArray[float64],
    blended: NDArray[float64],
    weight_present: NDArray[float64],
) -> None: ...
def cost_arbitrate(
    arrays: dict[str, NDArray[float64] | NDArray[int64] | NDArray[uint8]],
    settings: dict[str, float],
    session_multiplier: float,
) -> None: ...

class DecisionWorkspace:
    def __init__(
        self,
        arrays: dict[str, NDArray[float64] | NDArray[int64] | NDArray[uint8]],
        settings: dict[str, float],
    ) -> None: ...
    def run(self) -> None: ...

class CholeskySolver:
    def __init__(self, symbol_count: int) -> None: ...
    def factor(self, matrix: NDArray[float64], ridge: float) -> None: ...
    def solve(self, values: NDArray[float64], solution: NDArray[float64]) -> None: ...
    def ridge_weights(
        self,
        z: NDArray[float64],
        sigma_day_bps: NDArray[float64],
        gross_budget: float,
        weights: NDArray[float64],
    ) -> None: ...

class LowRankSolver:
    def __init__(self, symbol_count: int, factor_count: int) -> None: ...
    def factor(self, diagonal: NDArray[float64], loadings: NDArray[float64]) -> None: ...
    def solve(self, values: NDArray[float64], solution: NDArray[float64]) -> None: ...
    def ridge_weights(
        self,
        z: NDArray[float64],
        sigma_day_bps: NDArray[float64],
        gross_budget: float,
        weights: NDArray[float64],
    ) -> None: ...

def risk_parity(
    covariance: NDArray[float64],
    signs: NDArray[float64],
    gross: float,
    tolerance: float,
    marginal: NDArray[float64],
    weights: NDArray[float64],
) -> int: ...
def covariance_update(
    values: NDArray[float64],
    alpha: float,
    covariance: NDArray[float64],
    status: NDArray[uint8],
) -> None: ...
def shrunk_correlation(
    covariance: NDArray[float64],
    shrinkage: float,
    deviations: NDArray[float64],
    correlation: NDArray[float64],
) -> None: ...
def average_ranks(
    values: NDArray[float64],
    keys: NDArray[int64],
    order: NDArray[int64],
    ranks: NDArray[float64],
) -> int: ...
def order_flow_update(
    bid: NDArray[float64],
    ask: NDArray[float64],
    bid_size: NDArray[float64],
    ask_size: NDArray[float64],
    previous: NDArray[float64],
    imbalance: NDArray[float64],
    status: NDArray[uint8],
) -> None: ...

MATURED_INTERFACE_VERSION: int

def matured_rows(
    scores: NDArray[float64],
    slopes: NDArray[float64],
    return_bps: NDArray[float64],
    sigma_bps: NDArray[float64],
    cost_bps: NDArray[float64],
    score_abs_max: float,
    sigma_bps_max: float,
    slope_abs_max: float,
    outcome_abs_max: float,
    excess: bool,
    rows: NDArray[float64],
) -> None: ...
def contribution(
    scores: NDArray[float64],
    alphas_bps: NDArray[float64],
    outcomes: NDArray[float64],
    cost_bps: NDArray[float64],
    score_abs_max: float,
    outcome_abs_max: float,
    products: NDArray[float64],
    sums: NDArray[float64],
) -> None: ...
def row_medians(
    history: NDArray[float64],
    used: int,
    first_row: int,
    row_step: int,
    medians: NDArray[float64],
    spreads: NDArray[float64],
    counts: NDArray[int64],
) -> None: ...

SWING_INTERFACE_VERSION: int

def swing_columns() -> list[str]: ...
def swing_simulate(
    high: NDArray[float64],
    low: NDArray[float64],
    close: NDArray[float64],
    points: NDArray[float64],
    segments: NDArray[int64],
    series: NDArray[float64],
    traded: NDArray[uint8],
    target: NDArray[float64],
    held: NDArray[float64],
) -> None: ...
def swing_objectives(
    high: NDArray[float64],
    low: NDArray[float64],
    close: NDArray[float64],
    points: NDArray[float64],
    windows: NDArray[int64],
    covered: NDArray[uint8],
    objective: int,
    threads: int,
    values: NDArray[float64],
) -> None: ...
def swing_permuted_best(
    open: NDArray[float64],  # noqa: A002
    high: NDArray[float64],
    low: NDArray[float64],
    close: NDArray[float64],
    points: NDArray[float64],
    windows: NDArray[int64],
    digests: NDArray[int64],
    objective: int,
    threads: int,
    best: NDArray[float64],
) -> None: ...
def swing_word_order(digests: NDArray[int64], order: NDArray[int64]) -> None: ...
