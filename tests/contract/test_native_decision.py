"""Owns the proof that the decision kernels have one set of bits: native at every level, NumPy, and the domain."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from walstreet.domain import arbitrate, calibrate, cost, linear_solve, portable_math, size
from walstreet.domain.blend import BlendedAlpha, blend_horizons
from walstreet.kernels import compiled, portable
from walstreet.kernels.covariance import reference_covariance_update, reference_shrunk_correlation
from walstreet.kernels.decision import DecisionArrays, DecisionSettings
from walstreet.kernels.decision_oracle import ReferenceCycle, reference_calibrate_blend, reference_cost_arbitrate
from walstreet.kernels.flow import OrderFlowBank, reference_order_flow_update
from walstreet.kernels.interface import FloatArray
from walstreet.kernels.linear_reference import ReferenceCholesky, ReferenceLowRank, reference_risk_parity
from walstreet.kernels.ranks import reference_average_ranks
from walstreet_events import ROOT, ModelColumn, ModelStatus, PredictionBlock, derive_id, float_block

pytestmark = pytest.mark.spec("card.native", "002.native")

native = pytest.importorskip("walstreet_native", reason="the native wheel is not installed")
decision = pytest.importorskip("walstreet_native.decision", reason="the native wheel has no decision kernels")

LEVELS = tuple(native.available_levels())
SPECIALS = (
    float("nan"),
    -float("nan"),
    float("inf"),
    -float("inf"),
    0.0,
    -0.0,
    5e-324,
    -1e-310,
    1e-300,
    1e150,
    1.0000000000000002e150,
    1e300,
    -1.0,
)
"""Values that a kernel must treat like the reference: missing, infinite, signed zeros, subnormal, too large."""
HORIZONS_MINUTES = (5, 10, 15, 30, 60, 120, 390)
RESULTS = (
    "blended_bps",
    "weight_present",
    "cost_bps",
    "net_bps",
    "reserve_bps",
    "best",
    "alpha_final_bps",
    "z",
    "clears_reserve",
    "weight",
)
INPUTS = (
    "scores",
    "slopes",
    "spread_bps",
    "sigma_5m_bps",
    "sigma_day_bps",
    "price_usd",
    "daily_volume_shares",
    "order_usd",
)


@pytest.fixture(autouse=True)
def _restored_level() -> Iterator[None]:
    before = native.level()
    yield
    native.set_level(before)


class Reference:
    """Offer the reference under the names of the native module."""

    portable_exp = staticmethod(portable.reference_exp)
    portable_log = staticmethod(portable.reference_log)
    portable_power = staticmethod(portable.reference_power)
    calibrate_blend = staticmethod(reference_calibrate_blend)
    cost_arbitrate = staticmethod(reference_cost_arbitrate)
    DecisionWorkspace = ReferenceCycle
    CholeskySolver = ReferenceCholesky
    LowRankSolver = ReferenceLowRank
    risk_parity = staticmethod(reference_risk_parity)
    covariance_update = staticmethod(reference_covariance_update)
    shrunk_correlation = staticmethod(reference_shrunk_correlation)
    average_ranks = staticmethod(reference_average_ranks)
    order_flow_update = staticmethod(reference_order_flow_update)


def sprinkled(generator: np.random.Generator, values: FloatArray, share: float) -> None:
    """Replace a share of the values by special ones, in place."""
    chosen = generator.random(values.shape) < share
    values[chosen] = generator.choice(SPECIALS, size=int(chosen.sum()))


def made_arrays(seed: int, models: int, horizons: int, symbols: int, special_share: float) -> DecisionArrays:
    """Return a cycle's arrays with plausible inputs, some of them special."""
    generator = np.random.default_rng(seed)
    arrays = DecisionArrays.create(
        horizon_of_model=generator.integers(0, horizons, models).tolist(),
        horizons_minutes=HORIZONS_MINUTES[:horizons],
        symbol_count=symbols,
    )
    arrays.scores[:] = generator.normal(size=(models, symbols))
    arrays.slopes[:] = generator.normal(0.3, 0.3, models)
    arrays.weights[:] = generator.random(models) * (generator.random(models) < 0.9)
    arrays.fresh[:] = generator.random(horizons) < 0.9
    arrays.spread_bps[:] = generator.uniform(0.5, 6.0, symbols)
    arrays.sigma_5m_bps[:] = generator.uniform(5.0, 30.0, symbols)
    arrays.sigma_day_bps[:] = generator.uniform(80.0, 300.0, symbols)
    arrays.price_usd[:] = generator.uniform(5.0, 500.0, symbols)
    arrays.daily_volume_shares[:] = 10.0 ** generator.uniform(5.0, 8.0, symbols)
    arrays.order_usd[:] = generator.uniform(0.0, 5e4, symbols)
    arrays.tradable[:] = generator.random(symbols) < 0.9
    arrays.controls[:] = (generator.choice((0.8, 1.0, 1.5, float("nan")), p=(0.3, 0.3, 0.3, 0.1)), 0.5)
    for name in INPUTS:
        sprinkled(generator, getattr(arrays, name), special_share)
    return arrays


def cycle_outcome(kernels: object, seed: int, symbols: int) -> bytes:
    """Return the bits of a whole cycle, or the words with which it was refused."""
    generator = np.random.default_rng(seed)
    models, horizons = int(generator.integers(0, 24)), int(generator.integers(1, 8))
    arrays = made_arrays(seed, models, horizons, symbols, (0.0, 0.02, 0.3)[seed % 3])
    settings = DecisionSettings(
        size_method=("auto", "proportional", "vol_target")[seed // 3 % 3], weight_abs_max=(0.05, 10.0)[seed % 2]
    )
    try:
        kernels.DecisionWorkspace(arrays.named(), settings.numbers()).run()  # type: ignore[attr-defined]
    except ValueError as error:
        return str(error).encode()
    return b"".join(getattr(arrays, name).tobytes() for name in RESULTS)


def steps_outcome(kernels: object, seed: int, symbols: int) -> bytes:
    """Return the bits of the blend, and of cost and arbitration, as calls of their own."""
    generator = np.random.default_rng(seed)
    arrays = made_arrays(seed, 11, 5, symbols, (0.0, 0.05, 0.4)[seed % 3])
    sigma = arrays.horizon_scales[:, None] * arrays.sigma_5m_bps
    raw, blended, present, costs, net = (np.empty(sigma.shape) for _ in range(5))
    kernels.calibrate_blend(  # type: ignore[attr-defined]
        arrays.scores, arrays.horizon_of_model, arrays.slopes, arrays.weights, sigma, raw, blended, present
    )
    sprinkled(generator, blended, 0.1)
    named = arrays.named() | {"alpha_bps": blended, "sigma_horizon_bps": sigma, "cost_bps": costs, "net_bps": net}
    kernels.cost_arbitrate(named, DecisionSettings().numbers(), 1.5)  # type: ignore[attr-defined]
    choices = (arrays.reserve_bps, arrays.best, arrays.alpha_final_bps, arrays.z, arrays.clears_reserve)
    return b"".join(result.tobytes() for result in (raw, blended, present, costs, net, *choices))


def math_outcome(kernels: object, seed: int, symbols: int) -> bytes:
    """Return the bits of exp, log and two powers of any bit patterns at all."""
    generator = np.random.default_rng(seed)
    anything = generator.integers(0, 2**64, symbols, dtype=np.uint64).view(np.float64)
    plausible = generator.normal(0.0, 300.0, symbols)
    sprinkled(generator, plausible, 0.2)
    bits = b""
    for values in (anything, plausible):
        for exponent in (0.25, 0.6):
            results = np.empty(symbols)
            kernels.portable_power(values, exponent, results)  # type: ignore[attr-defined]
            bits += results.tobytes()
        for function in ("portable_exp", "portable_log"):
            results = np.empty(symbols)
            getattr(kernels, function)(values, results)
            bits += results.tobytes()
    return bits


def linear_outcome(kernels: object, seed: int, symbols: int) -> bytes:
    """Return the bits of both kinds of kept factors and of equal risk."""
    count = max(symbols, 1)
    generator = np.random.default_rng(seed)
    draws = generator.normal(size=(count, count + 3))
    matrix = draws @ draws.T / count
    matrix = 0.5 * (matrix + matrix.T)
    z, sigma = generator.normal(size=count), generator.uniform(50.0, 300.0, count)
    z[generator.random(count) < 0.1] = np.nan
    sprinkled(generator, sigma, 0.05)
    known = np.nan_to_num(z)
    known[::5] = -0.0
    factors = int(generator.integers(1, 10))
    cholesky = kernels.CholeskySolver(count)  # type: ignore[attr-defined]
    cholesky.factor(matrix, 0.15)
    low_rank = kernels.LowRankSolver(count, factors)  # type: ignore[attr-defined]
    low_rank.factor(generator.uniform(0.1, 2.0, count), generator.normal(size=(factors, count)))
    results = [np.empty(count) for _ in range(6)]
    for solver, solution, weights in ((cholesky, *results[:2]), (low_rank, *results[2:4])):
        solver.solve(known, solution)
        solver.ridge_weights(z, sigma, 0.5, weights)
    signs = np.sign(generator.normal(size=count)) * (generator.random(count) < 0.8)
    ridged = matrix + 0.2 * np.eye(count)
    sweeps = kernels.risk_parity(ridged, signs, 0.5, 1e-10, *results[4:])  # type: ignore[attr-defined]
    return str(sweeps).encode() + b"".join(result.tobytes() for result in results)


def market_outcome(kernels: object, seed: int, symbols: int) -> bytes:
    """Return the bits of covariance, correlation, ranks and order flow over a few bars."""
    generator = np.random.default_rng(seed)
    covariance = np.full((symbols, symbols), np.nan)
    status, deviations = np.zeros(symbols, dtype=np.uint8), np.empty(symbols)
    correlation, ranks = np.empty((symbols, symbols)), np.empty(symbols)
    keys, order = np.zeros((2, symbols), dtype=np.int64), np.zeros((2, symbols), dtype=np.int64)
    flow = OrderFlowBank.create(symbols)
    bits = b""
    for _ in range(4):
        values = generator.normal(0.0, 20.0, symbols)
        sprinkled(generator, values, 0.15)
        kernels.covariance_update(values, 0.1, covariance, status)  # type: ignore[attr-defined]
        bits += status.tobytes()
        kernels.shrunk_correlation(covariance, 0.1, deviations, correlation)  # type: ignore[attr-defined]
        tied = np.round(values / 15.0)
        count = kernels.average_ranks(tied, keys, order, ranks)  # type: ignore[attr-defined]
        bits += str(count).encode() + ranks.tobytes()
        quote = [np.round(generator.normal(100.0, 1.0, symbols)) for _ in range(4)]
        for row in quote:
            sprinkled(generator, row, 0.05)
        kernels.order_flow_update(*quote, flow.previous, flow.imbalance, flow.status)  # type: ignore[attr-defined]
        bits += flow.previous.tobytes() + flow.imbalance.tobytes() + flow.status.tobytes()
    return bits + covariance.tobytes() + correlation.tobytes() + deviations.tobytes()


WORKLOADS: dict[str, Callable[[object, int, int], bytes]] = {
    "cycle": cycle_outcome,
    "steps": steps_outcome,
    "math": math_outcome,
    "linear": linear_outcome,
    "market": market_outcome,
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_length_to_seventy_has_the_reference_bits(workload: str, level: str) -> None:
    """Empty, partial and several chunks of eight lanes agree, specials included."""
    native.set_level(level)
    for count in range(71):
        expected = WORKLOADS[workload](Reference, count, count)
        assert WORKLOADS[workload](decision, count, count) == expected, f"{workload} of {count} at {level}"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("workload", "count"), [("cycle", 3_001), ("steps", 1_003), ("math", 20_001), ("linear", 130), ("market", 301)]
)
def test_large_problems_have_the_reference_bits(workload: str, count: int, level: str) -> None:
    """Prefetching, blocking and the radix sort change no bit."""
    native.set_level(level)
    for seed in range(3):
        assert WORKLOADS[workload](decision, seed, count) == WORKLOADS[workload](Reference, seed, count)


def digest(kernels: object) -> str:
    """Hash every workload at several sizes."""
    result = hashlib.sha256()
    for workload in WORKLOADS.values():
        for count in (1, 20, 101):
            result.update(workload(kernels, count, count))
    return result.hexdigest()


DIGEST_PROGRAM = """
import sys
sys.path[:0] = {path!r}
import test_native_decision as contract
print(contract.native.level(), contract.digest(contract.decision))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_a_fresh_process_forced_to_a_level_has_the_same_hash(level: str) -> None:
    """The environment variable chooses the level and the hash of all results stays the reference's."""
    program = DIGEST_PROGRAM.format(path=[str(Path(__file__).parent), *sys.path])
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={"WALSTREET_NATIVE_LEVEL": level},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert finished.stdout.split() == [level, digest(Reference)]


def test_threads_compute_the_same_bits_at_once() -> None:
    """Kernels hold no shared state, so concurrent workspaces without the interpreter lock agree."""
    expected = [cycle_outcome(Reference, seed, 65) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda seed: cycle_outcome(decision, seed % 8, 65), range(64)))
    assert results == expected * 8


# ------------------------------------------------------------------------------------------------ the domain


def canonical(values: FloatArray) -> FloatArray:
    """Return the values with every NaN made the canonical one, as kernels return it."""
    return np.where(np.isnan(values), np.nan, values)


@pytest.mark.parametrize("level", LEVELS)
def test_portable_math_has_the_bits_of_the_domain(level: str) -> None:
    """A million random bit patterns, all magnitudes and every special value: domain.portable_math can delegate."""
    native.set_level(level)
    generator = np.random.default_rng(11)
    samples = (
        generator.integers(0, 2**64, 600_000, dtype=np.uint64).view(np.float64),
        generator.uniform(-710.0, 710.0, 200_000),
        generator.integers(0, 2**52, 100_000).view(np.float64),
        1.0 + generator.normal(0.0, 1e-3, 100_000),
        np.array([*SPECIALS, 1.0, 0.5, 700.0, -700.0, 700.0000001, 0.7071067811865476, 0.7071067811865475]),
    )
    for values in samples:
        results = np.empty(len(values))
        with np.errstate(all="ignore"):
            for kernel, formula in (
                (decision.portable_exp, portable_math.exp),
                (decision.portable_log, portable_math.log),
            ):
                kernel(values, results)
                assert results.tobytes() == formula(values).tobytes()
            for exponent in (0.6, 0.25, 3.0):
                decision.portable_power(values, exponent, results)
                assert results.tobytes() == portable_math.power(values, exponent).tobytes()


def _domain_blend(arrays: DecisionArrays, sigma: FloatArray) -> BlendedAlpha:
    horizons = HORIZONS_MINUTES[: len(sigma)]
    horizon_of = [horizons[row] for row in arrays.horizon_of_model.tolist()]
    columns = tuple(
        ModelColumn(model=f"m{index}", family="f", horizon_minutes=minutes, target="return", status=ModelStatus.OK)
        for index, minutes in enumerate(horizon_of)
    )
    calibrations = [
        calibrate.ModelCalibration(
            model=f"m{index}",
            horizon_minutes=minutes,
            slope=float(arrays.slopes[index]),
            weight=float(arrays.weights[index]),
        )
        for index, minutes in enumerate(horizon_of)
    ]
    count = arrays.scores.shape[1]
    block = PredictionBlock(
        id=derive_id("test", "prediction_block.v1", 0),
        cause=ROOT,
        ts_ns=1,
        symbols=tuple(f"S{index}" for index in range(count)),
        warmup=False,
        features="features",
        models=columns,
        values=float_block(arrays.scores),
    )
    return blend_horizons(
        block, arrays.scores, calibrations=calibrations, horizons_minutes=horizons, sigma_horizon_bps=sigma
    )


@pytest.mark.parametrize("level", LEVELS)
def test_a_cycle_has_the_bits_of_the_domain(level: str) -> None:
    """Blend, cost, arbitration and sizes are those of walstreet.domain for sound and for broken inputs."""
    native.set_level(level)
    for seed in range(40):
        horizons = 1 + seed % 7
        arrays = made_arrays(seed, 20, horizons, 37, (0.0, 0.05)[seed % 2])
        arrays.slopes[~(np.abs(arrays.slopes) <= 100.0)] = 0.0
        arrays.weights[arrays.weights > 0] += 1e-6
        # NumPy's own sizes refuse to sum what a daily volatility of almost zero makes infinite.
        arrays.sigma_day_bps[(arrays.sigma_day_bps > 0.0) & (arrays.sigma_day_bps < 1e-100)] = 1e-100
        method = ("auto", "proportional", "vol_target")[seed % 3]
        decision.DecisionWorkspace(arrays.named(), DecisionSettings(size_method=method).numbers()).run()
        with np.errstate(all="ignore"):
            _require_domain_bits(arrays, np.array(HORIZONS_MINUTES[:horizons]), method)


def _require_domain_bits(arrays: DecisionArrays, minutes: np.ndarray, method: str) -> None:
    sigma = calibrate.horizon_sigma_bps(arrays.sigma_5m_bps, minutes)
    blended = _domain_blend(arrays, sigma)
    raw = np.empty(sigma.shape)
    decision.calibrate_blend(
        arrays.scores,
        arrays.horizon_of_model,
        arrays.slopes,
        arrays.weights,
        sigma,
        raw,
        np.empty(sigma.shape),
        np.empty(sigma.shape),
    )
    inputs = cost.CostInputs(
        spread_bps=arrays.spread_bps,
        sigma_5m_bps=arrays.sigma_5m_bps,
        sigma_day_bps=arrays.sigma_day_bps,
        price_usd=arrays.price_usd,
        daily_volume_shares=arrays.daily_volume_shares,
        shares_outstanding=np.full(len(arrays.z), np.nan),
        order_usd=arrays.order_usd,
        session_multiplier=float(arrays.controls[0]),
    )
    costs = cost.round_trip_cost_bps(inputs, minutes, cost.CostParameters())
    alpha = np.where(arrays.fresh[:, None] != 0, blended.blended_bps, np.nan)
    choice = arbitrate.arbitrate(alpha, costs, sigma, arrays.spread_bps, arbitrate.ArbitrationParameters())
    wanted = choice.clears_reserve & (arrays.tradable != 0)
    weights = size.wanted_weights(
        np.where(wanted, choice.z, np.nan),
        arrays.sigma_day_bps,
        gross_budget=float(arrays.controls[1]),
        parameters=size.SizeParameters(method=method),  # type: ignore[arg-type]
    )
    bound = DecisionSettings().weight_abs_max
    expected = {
        "blended_bps": blended.blended_bps,
        "weight_present": blended.weight_present,
        "cost_bps": costs[0],
        "net_bps": choice.net_bps,
        "reserve_bps": choice.reserve_bps,
        "alpha_final_bps": choice.alpha_final_bps,
        "z": choice.z,
        "weight": np.clip(weights, -bound, bound),
    }
    for name, values in expected.items():
        assert getattr(arrays, name).tobytes() == canonical(values).tobytes(), name
    assert raw.tobytes() == canonical(blended.raw_bps).tobytes()
    assert arrays.best.tolist() == choice.best.tolist()
    assert arrays.clears_reserve.tolist() == choice.clears_reserve.tolist()


@pytest.mark.parametrize("level", LEVELS)
def test_a_kept_factor_has_the_bits_of_the_domain(level: str) -> None:
    """domain.linear_solve reduces in the same order, so it can delegate."""
    native.set_level(level)
    generator = np.random.default_rng(3)
    for count in (1, 2, 7, 8, 9, 17, 64, 101):
        draws = generator.normal(size=(count, count + 5))
        matrix = draws @ draws.T
        matrix = 0.5 * (matrix + matrix.T)
        values, solution = generator.normal(size=count), np.empty(count)
        solver = decision.CholeskySolver(count)
        solver.factor(matrix, 0.25)
        solver.solve(values, solution)
        lower = linear_solve.cholesky(matrix + np.diag(np.full(count, 0.25)))
        assert lower is not None
        assert solution.tobytes() == linear_solve.solve_factored(lower, values).tobytes()


# ------------------------------------------------------------------------------------------------ refusals


def _cycle_arrays(**changes: object) -> dict[str, object]:
    return {**made_arrays(1, 4, 2, 9, 0.0).named(), **changes}


NUMBERS = DecisionSettings().numbers()
SHARED = np.zeros(9)
BAD_CYCLES: list[tuple[dict[str, object], type[Exception], str]] = [
    ({"scores": [1.0]}, TypeError, "scores: is a list, must be a numpy.ndarray of float64"),
    ({"scores": None}, TypeError, "scores: is a NoneType"),
    ({"scores": np.zeros((4, 9), dtype=np.float32)}, TypeError, "scores: dtype is float32, must be float64"),
    ({"scores": np.zeros(9)}, ValueError, "scores: shape is (9,), must have 2 dimension(s)"),
    ({"scores": np.zeros((9, 4)).T}, ValueError, "scores: is not C-contiguous"),
    ({"scores": np.zeros((4, 8))}, ValueError, "scores: shape is (4, 8), must be (4, 9) to agree with spread_bps"),
    ({"slopes": np.zeros(3)}, ValueError, "slopes: shape is (3,), must be (4,) to agree with scores"),
    ({"weights": np.zeros(5)}, ValueError, "weights: shape is (5,), must be (4,)"),
    ({"weights": np.array([0.0, 1.0, -0.5, 0.0])}, ValueError, "weights[2]: value is -0.5, must be from 0 to 1e+150"),
    ({"weights": np.array([np.nan, 1.0, 0.5, 0.0])}, ValueError, "weights[0]: value is nan"),
    ({"horizon_of_model": np.array([0, 1, 2, 0])}, ValueError, "horizon_of_model[2]: value is 2, must be from 0 to 1"),
    ({"horizon_of_model": np.array([0, -1, 1, 0])}, ValueError, "horizon_of_model[1]: value is -1"),
    ({"horizon_of_model": np.zeros(4)}, TypeError, "horizon_of_model: dtype is float64, must be int64"),
    ({"horizon_scales": np.array([1.0, 0.0])}, ValueError, "horizon_scales[1]: value is 0.0, must be positive"),
    ({"horizon_scales": np.zeros(0)}, ValueError, "horizon_scales: has 0 horizons, must have from 1 to 16"),
    ({"horizon_scales": np.ones(17)}, ValueError, "horizon_scales: has 17 horizons"),
    ({"fresh": np.zeros(3, dtype=np.uint8)}, ValueError, "fresh: shape is (3,), must be (2,)"),
    ({"fresh": np.zeros(2, dtype=np.bool_)}, TypeError, "fresh: dtype is bool, must be uint8"),
    ({"tradable": np.zeros(8, dtype=np.uint8)}, ValueError, "tradable: shape is (8,), must be (9,)"),
    ({"controls": np.zeros(3)}, ValueError, "controls: shape is (3,), must be (2,)"),
    ({"controls": np.array([1.0, -0.1])}, ValueError, "controls[1]: value is -0.1, must be from 0.0 to 1000000.0"),
    ({"controls": np.array([1.0, np.nan])}, ValueError, "controls[1]: value is nan"),
    ({"controls": np.array([-1.0, 0.5])}, ValueError, "controls[0]: value is -1.0, must be from 0.0"),
    ({"price_usd": np.zeros(8)}, ValueError, "price_usd: shape is (8,), must be (9,) to agree with spread_bps"),
    ({"best": np.zeros(9)}, TypeError, "best: dtype is float64, must be int64"),
    ({"net_bps": np.zeros((3, 9))}, ValueError, "net_bps: shape is (3, 9), must be (2, 9)"),
    ({"weight": SHARED, "z": SHARED}, ValueError, "z: shares memory with weight; pass separate arrays"),
    ({"order_usd": SHARED, "cost_bps": SHARED}, ValueError, "cost_bps: shares memory with order_usd"),
]


@pytest.mark.parametrize("kernels", [decision, Reference], ids=["native", "reference"])
@pytest.mark.parametrize(("changes", "kind", "words"), BAD_CYCLES)
def test_wrong_arrays_of_a_cycle_are_refused(
    kernels: object, changes: dict[str, object], kind: type[Exception], words: str
) -> None:
    """Each refusal names the argument, what it is and what it must be, in the same words on both sides."""
    with pytest.raises(kind) as caught:
        kernels.DecisionWorkspace(_cycle_arrays(**changes), NUMBERS).run()  # type: ignore[attr-defined]
    assert words in str(caught.value)


@pytest.mark.parametrize("kernels", [decision, Reference], ids=["native", "reference"])
def test_a_missing_array_and_a_read_only_result_are_refused(kernels: object) -> None:
    """A name that is not there, and a result that cannot be written, are said by name."""
    arrays = _cycle_arrays()
    del arrays["sigma_day_bps"]
    with pytest.raises(ValueError, match="sigma_day_bps: is missing; pass it"):
        kernels.DecisionWorkspace(arrays, NUMBERS)  # type: ignore[attr-defined]
    fixed = np.zeros(9)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="weight: is read-only and is written in place"):
        kernels.DecisionWorkspace(_cycle_arrays(weight=fixed), NUMBERS)  # type: ignore[attr-defined]


def test_a_workspace_keeps_its_arrays_alive_and_unmoved() -> None:
    """While a workspace lives, its arrays can be neither freed nor resized under the kernel."""
    arrays = made_arrays(5, 4, 2, 9, 0.0)
    workspace = decision.DecisionWorkspace(arrays.named(), NUMBERS)
    with pytest.raises(ValueError, match="resize"):
        arrays.scores.resize((5, 9))
    expected = made_arrays(5, 4, 2, 9, 0.0)
    ReferenceCycle(expected.named(), NUMBERS).run()
    weight = arrays.weight
    del arrays
    workspace.run()
    assert weight.tobytes() == expected.weight.tobytes()


EYE = np.eye(3)
BAD_CALLS: list[tuple[str, tuple[object, ...], type[Exception], str]] = [
    ("portable_exp", (np.ones(2), np.ones(3)), ValueError, "results: shape is (3,), must be (2,) to agree with values"),
    ("portable_exp", ([1.0], np.ones(1)), TypeError, "values: is a list"),
    ("portable_log", (SHARED, SHARED), ValueError, "results: shares memory with values"),
    ("portable_power", (np.ones(2), 0.0, np.ones(2)), ValueError, "exponent: value is 0.0, must be from 2.2250738585"),
    ("CholeskySolver", (0,), ValueError, "symbol_count: value is 0, must be from 1 to 2048"),
    ("CholeskySolver", (2_049,), ValueError, "symbol_count: value is 2049"),
    ("LowRankSolver", (5, 65), ValueError, "factor_count: value is 65, must be from 1 to 64"),
    ("risk_parity", (EYE, np.ones(2), 1.0, 1e-9, np.ones(2), np.ones(2)), ValueError, "covariance: shape is (3, 3)"),
    (
        "risk_parity",
        (EYE, np.array([1.0, 0.5, 0.0]), 1.0, 1e-9, np.ones(3), np.ones(3)),
        ValueError,
        "signs[1]: value is 0.5, must be -1, 0 or 1",
    ),
    (
        "risk_parity",
        (np.zeros((3, 3)), np.array([0.0, 1.0, 0.0]), 1.0, 1e-9, np.ones(3), np.ones(3)),
        ValueError,
        "covariance[1, 1]: value is 0.0, must be above 0",
    ),
    (
        "covariance_update",
        (np.ones(3), 0.0, EYE.copy(), np.zeros(3, dtype=np.uint8)),
        ValueError,
        "alpha: value is 0.0, must be from",
    ),
    (
        "covariance_update",
        (np.ones(2), 0.5, EYE.copy(), np.zeros(2, dtype=np.uint8)),
        ValueError,
        "covariance: shape is (3, 3), must be (2, 2) to agree with values",
    ),
    ("shrunk_correlation", (EYE, 1.5, np.ones(3), EYE.copy()), ValueError, "shrinkage: value is 1.5"),
    ("shrunk_correlation", (EYE, 0.5, np.ones(3), EYE), ValueError, "correlation: shares memory with covariance"),
    (
        "average_ranks",
        (np.ones(3), np.zeros((2, 2), dtype=np.int64), np.zeros((2, 3), dtype=np.int64), np.ones(3)),
        ValueError,
        "keys: shape is (2, 2), must be (2, 3) to agree with values",
    ),
    (
        "order_flow_update",
        (*(np.ones(3) for _ in range(4)), np.ones((3, 3)), np.ones(3), np.zeros(3, dtype=np.uint8)),
        ValueError,
        "previous: shape is (3, 3), must be (4, 3) to agree with bid",
    ),
]


@pytest.mark.parametrize("kernels", [decision, Reference], ids=["native", "reference"])
@pytest.mark.parametrize(("function", "arguments", "kind", "words"), BAD_CALLS)
def test_wrong_arguments_are_refused(
    kernels: object, function: str, arguments: tuple[object, ...], kind: type[Exception], words: str
) -> None:
    """Functions refuse in the same words on both sides."""
    with pytest.raises(kind) as caught:
        getattr(kernels, function)(*arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize("kernels", [decision, Reference], ids=["native", "reference"])
def test_a_solver_refuses_what_it_cannot_factor(kernels: object) -> None:
    """Asymmetry, infinity and indefiniteness are named by their place, and leave the solver without a factor."""
    solver = kernels.CholeskySolver(3)  # type: ignore[attr-defined]
    good, result = np.eye(3), np.empty(3)
    for matrix, ridge, words in (
        (np.eye(2), 0.0, r"matrix: shape is \(2, 2\), must be \(3, 3\) to agree with the solver"),
        (good + np.diag([0.5, 0.0], 1), 0.0, r"matrix\[1, 0\]: value is 0.0, but its mirror image is 0.5"),
        (np.diag([np.inf, 1.0, 1.0]), 0.0, r"matrix\[0, 0\]: value is inf, must be finite"),
        (good, -1.0, "ridge: value is -1.0, must be from 0.0"),
        (np.diag([1.0, -1.0, 1.0]), 0.5, "matrix: is not positive definite at row 1; raise the ridge"),
    ):
        with pytest.raises(ValueError, match=words):
            solver.factor(matrix, ridge)
    with pytest.raises(ValueError, match="solver: holds no factor; call factor first"):
        solver.solve(np.ones(3), result)
    solver.factor(good, 3.0)
    solver.solve(np.ones(3), result)
    assert result.tolist() == [0.25, 0.25, 0.25]


def test_an_older_wheel_leaves_the_reference_in_charge() -> None:
    """The facade takes the compiled kernels that are installed, and says which ones run."""
    name, reason = compiled.decision_implementation()
    assert name == "native"
    assert reason
    assert compiled.compiled() is not None
