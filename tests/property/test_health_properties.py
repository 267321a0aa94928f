"""Owns the properties of mode causes, monitoring and ``live_step`` that must hold for every input."""

import itertools
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet.domain.arbiter_parameters import ArbiterParameters
from walstreet.domain.arbitrate import ArbitrationParameters
from walstreet.domain.association import cramers_v
from walstreet.domain.barrier import BarrierParameters
from walstreet.domain.calibrate import ModelCalibration
from walstreet.domain.cost import CostParameters
from walstreet.domain.gate_rates import GATES, gate_counts
from walstreet.domain.limits import LimitParameters
from walstreet.domain.live_step import MarketData, live_step
from walstreet.domain.mode import rank, worst
from walstreet.domain.mode_causes import (
    SEVERITIES,
    FaultMemory,
    LossMemory,
    ModeCauseParameters,
    exception_cause,
    fact_causes,
    note_equity,
    note_exception,
    note_session,
)
from walstreet.domain.model_manifest import Family, FileFormat, InputKind, ModelEntry, Strategy, Target
from walstreet.domain.reliability import read_reliability, reliability_row
from walstreet.domain.size import SizeParameters
from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, Verdict

EXAMPLES = settings(max_examples=1_000, deadline=None)
CAUSES = ModeCauseParameters()

# -------------------------------------------------------------------------------------------------- mode causes

equities = st.integers(-10_000, 2_000_000)


def causes_after(path: list[int], last: int, gross_usd: float) -> list[tuple[Any, str]]:
    """Return the causes after a path of equities in USD and a last one."""
    losses = LossMemory()
    note_session(losses, "day")
    for second, equity in enumerate([*path, last]):
        note_equity(losses, equity * PRICE_SCALE, second * NANOS_PER_SECOND)
    now_ns = len(path) * NANOS_PER_SECOND
    return fact_causes(losses, FaultMemory(), now_ns=now_ns, gross_now_usd=gross_usd, gross_max=0.5, parameters=CAUSES)


@EXAMPLES
@given(st.lists(equities, min_size=1, max_size=6), equities, st.integers(0, 200_000), st.floats(0.0, 1e6))
def test_causes_are_monotone_in_loss(path: list[int], last: int, further: int, gross_usd: float):
    """With the same past a lower equity keeps every cause and never allows a better mode."""
    before, after = (
        causes_after(path, min(last, max(path)), gross_usd),
        causes_after(path, min(last, max(path)) - further, gross_usd),
    )
    reasons = [reason for _, reason in after]
    assert all(reason in reasons for _, reason in before)
    assert rank(worst(after)[0]) >= rank(worst(before)[0])
    assert all(mode is SEVERITIES[reason] for mode, reason in after)


@EXAMPLES
@given(st.lists(equities, min_size=2, max_size=8))
def test_a_gain_is_never_a_cause(path: list[int]):
    """At the day's first equity and at its highest there is neither a daily loss nor a drawdown."""
    best = max(path)
    reasons = [reason for _, reason in causes_after(path, best, 0.0)]
    assert "daily_loss" not in reasons
    assert "drawdown" not in reasons


@EXAMPLES
@given(st.lists(st.integers(0, 1_000), max_size=30), st.integers(0, 1_300))
def test_exceptions_are_counted_in_the_trailing_window(times_s: list[int], now_s: int):
    """The cause stands iff five of the recorded times lie within the last 300 seconds, whatever their order."""
    memory = FaultMemory()
    for second in times_s:
        note_exception(memory, second * NANOS_PER_SECOND)
    recent = sum(second >= now_s - 300 for second in times_s)
    assert (exception_cause(memory, now_s * NANOS_PER_SECOND, CAUSES) is not None) == (recent >= 5)


# --------------------------------------------------------------------------------------------------- monitoring

verdict_lists = st.lists(st.sampled_from(list(Verdict)), max_size=60)


@EXAMPLES
@given(verdict_lists, st.randoms(use_true_random=False))
def test_gates_hand_on_what_they_let_through(verdicts: list[Verdict], random: Any):
    """Each gate is asked about what the one before let through, the last lets through the accepted; order is none."""
    counts = gate_counts(verdicts)
    assert all(0 <= passed <= asked for asked, passed in counts)
    assert all(left[1] == right[0] for left, right in itertools.pairwise(counts))
    assert counts[-1][1] == verdicts.count(Verdict.ACCEPTED)
    stopped = [verdict for _, names in GATES for verdict in names]
    assert counts[0][0] == sum(verdict in stopped or verdict is Verdict.ACCEPTED for verdict in verdicts)
    shuffled = list(verdicts)
    random.shuffle(shuffled)
    assert gate_counts(shuffled) == counts


probabilities = st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0])), max_size=40)


@EXAMPLES
@given(probabilities, probabilities)
def test_reliability_adds_and_stays_in_range(first: list[tuple[float, float]], second: list[tuple[float, float]]):
    """Two batches summed are one batch; Brier score and calibration error lie within [0, 1]."""
    tables = [np.array(pairs, dtype=np.float64).reshape(-1, 2) for pairs in (first, second, first + second)]
    rows = [reliability_row(table[:, 0], table[:, 1]) for table in tables]
    assert np.allclose(rows[0] + rows[1], rows[2], rtol=0.0, atol=1e-9)
    result = read_reliability(rows[2])
    assert result.count == len(first) + len(second)
    if result.count:
        by_hand = float(np.mean((tables[2][:, 0] - tables[2][:, 1]) ** 2))
        assert math.isclose(result.brier, by_hand, rel_tol=0.0, abs_tol=1e-9)
        assert -1e-12 <= result.calibration_error <= 1.0


tables = st.lists(st.lists(st.integers(0, 30), min_size=4, max_size=4), min_size=3, max_size=3)


@EXAMPLES
@given(tables, st.permutations(range(3)), st.permutations(range(4)))
def test_association_is_symmetric_and_in_range(cells: list[list[int]], rows: list[int], columns: list[int]):
    """Transposing or permuting the table changes nothing but rounding, and V lies within [0, 1] or is unknown."""
    table = np.array(cells, dtype=np.float64)
    value = cramers_v(table)
    assert math.isnan(value) or 0.0 <= value <= 1.0
    for other in (table.T, table[rows][:, columns]):
        assert np.isclose(cramers_v(other), value, rtol=0.0, atol=1e-6, equal_nan=True)


# ---------------------------------------------------------------------------------------------------- live_step

NAMES = ("A", "B", "C", "D")
DOCUMENT_003 = ArbiterParameters(
    cost=CostParameters(model="linear"),
    arbitration=ArbitrationParameters(method="winner"),
    size=SizeParameters(method="proportional"),
    limits=LimitParameters(net_max=0.1, sector_gross_max=0.5),
)


class Echo:
    """A zoo whose four models answer with one feature each: two returns, a peak and a valley."""

    schema_hash = "0"
    feature_count = 4

    def __init__(self) -> None:
        targets = ((5, Target.RETURN), (60, Target.RETURN), (15, Target.PEAK), (15, Target.VALLEY))
        self.entries = tuple(
            ModelEntry(
                name=f"m{index}", family=Family.MLP, strategy=Strategy.SINGLE_TASK, horizon_minutes=horizon,
                target=target, input_kind=InputKind.TABULAR, sequence_length=0, file_format=FileFormat.ONNX, file="f",
                sha256="0", schema_hash="0", calibration_slope=1.0, score_sigma=1.0, ic_in_sample=0.1,
                ic_out_of_sample=0.1, weight_oof=1.0, base_rate=0.4, probe_outputs=(), training_first="",
                training_last="", code_version="",
            )
            for index, (horizon, target) in enumerate(targets)
        )  # fmt: skip

    def predict(self, model_index: int, matrix: np.ndarray) -> np.ndarray:
        """Return the model's own feature."""
        return matrix[:, model_index].copy()


ZOO = Echo()
CALIBRATIONS = tuple(
    ModelCalibration(model=f"m{index}", horizon_minutes=horizon, slope=1.0, weight=1.0)
    for index, horizon in enumerate((5, 60))
)
tenths = st.integers(-30, 30).map(lambda value: value / 10.0)
shares = st.integers(20, 70).map(lambda value: value / 100.0)
symbols_facts = st.tuples(
    st.tuples(tenths, tenths, shares, shares),
    st.sampled_from([math.nan, 0.0, 0.7, 3.1, 9.9]),
    st.sampled_from([math.nan, 0.08, 0.23, 0.9]),
    st.sampled_from([0.0, 0.01, 0.1]),
    st.integers(-50, 50).map(lambda value: value / 1_000.0),
).map(lambda facts: dict(zip(("row", "spread", "vol", "participation", "held"), facts, strict=True)))
books = st.lists(symbols_facts, min_size=1, max_size=len(NAMES))


def decided(book: list[dict[str, Any]], order: list[int] | None = None, *, mirror: bool = False) -> dict[str, float]:
    """Return the target weights of a book, in another order of symbols or mirrored."""
    chosen = [index for index in (order or range(len(book))) if index < len(book)]
    sign = -1.0 if mirror else 1.0

    def row(facts: dict[str, Any]) -> np.ndarray:
        short, long, peak, valley = facts["row"]
        return np.array([sign * short, sign * long, *((valley, peak) if mirror else (peak, valley))])

    return live_step(
        MarketData(
            symbols=[NAMES[index] for index in chosen],
            features={NAMES[index]: row(book[index]) for index in chosen},
            spreads={NAMES[index]: book[index]["spread"] for index in chosen},
            vol_short={NAMES[index]: book[index]["vol"] for index in chosen},
            participation={NAMES[index]: book[index]["participation"] for index in chosen},
        ),
        {NAMES[index]: sign * book[index]["held"] for index in chosen},
        models=ZOO,
        calibrations=CALIBRATIONS,
        parameters=DOCUMENT_003,
        barrier=BarrierParameters(),
    )


@EXAMPLES
@given(books)
def test_live_step_is_mirror_symmetric(book: list[dict[str, Any]]):
    """Negated scores and holdings with peaks and valleys swapped give exactly the negated weights."""
    straight, mirrored = decided(book), decided(book, mirror=True)
    assert list(straight) == list(mirrored)
    assert all(mirrored[symbol] == -weight for symbol, weight in straight.items())


@EXAMPLES
@given(books, st.permutations(range(len(NAMES))))
def test_live_step_does_not_depend_on_the_order_of_symbols(book: list[dict[str, Any]], order: list[int]):
    """Permuting the symbols changes the weights by rounding only."""
    straight, permuted = decided(book), decided(book, order)
    assert sorted(straight) == sorted(permuted)
    assert all(math.isclose(straight[name], permuted[name], rel_tol=0.0, abs_tol=1e-9) for name in straight)


@EXAMPLES
@given(books)
def test_live_step_keeps_document_003s_bounds(book: list[dict[str, Any]]):
    """No name beyond .05, net within .1 unless held symbols that cannot trade are beyond it, which are left alone."""
    weights = decided(book)
    fixed = [math.isnan(facts["spread"]) or math.isnan(facts["vol"]) for facts in book]
    stuck = sum(facts["held"] for facts, still in zip(book, fixed, strict=True) if still)
    assert all(abs(weight) <= 0.05 + 1e-12 for weight in weights.values())
    assert abs(sum(weights.values())) <= max(0.1, abs(stuck)) + 1e-9
    for name, facts, still in zip(NAMES, book, fixed, strict=False):
        if still:
            assert weights[name] == facts["held"]
