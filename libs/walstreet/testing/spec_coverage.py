"""Owns docs/SPEC_COVERAGE.md: which tests show which item of the user's specification, read from the tests' marks.

``python -m walstreet.testing.spec_coverage`` writes the page, and a test compares. A test names its items with
``@pytest.mark.spec("000.9")``, a whole module with ``pytestmark``. Files are parsed, not imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PAGE = Path("docs/SPEC_COVERAGE.md")
TESTS = Path("tests")
MARK = "spec"

ITEMS: dict[str, str] = {
    "000.1": "Conformal gates, with their calibration learned from matured outcomes",
    "000.2": "Triple-barrier labels",
    "000.3": "HorizonArbiter2 with its meta-model, cost model and bandit",
    "000.4": "Event-driven rebalancing and the 14:30 safety sweep",
    "000.5": "Execution micro-planner, order and message budgets",
    "000.6": "Live cost model with the slippage average",
    "000.7": "Correlation-aware risk",
    "000.8": "Barrier exits: scale out, tighten",
    "000.9": "Staleness rules and times to live",
    "000.10": "Deterministic renormalisation of blend weights",
    "000.11": "Monitoring: alpha budget, coverage, calibration, SLA, churn",
    "000.12": "Contract tests: age, shape, NaN",
    "000.checklist": "Verification checklist",
    "001.guards": "PreTradeGuards, MarginGate, ShortSaleGuard, RateLimiter",
    "001.arbitration": "ZooBalancer, HorizonArbiter, BarrierGates",
    "001.policy": "ShortHorizonExecutionPolicy",
    "001.control": "UniversePrefilter, NettingSuppression, DriftHealth, ModeController",
    "001.recovery": "OrderReconciler, idempotency, WAL replay, disaster recovery, panic file",
    "001.tca": "Trade cost analytics and threshold autotune",
    "001.config": "config/ibkr_enhanced.yaml, overrides by environment, updates while running",
    "001.slo": "Latency SLOs, safety and efficiency targets",
    "001.audit": "Logs, audit trail, health",
    "001.entry": "Entry point run_trading_system.py, which is `walstreet up`",
    "001.mathematics": "MATHEMATICAL_FOUNDATIONS, which is docs/MATHEMATICS.md",
    "002.components": "ModelPredictor, HorizonBlender, BarrierGate, CostArbitrator, PositionSizer",
    "002.python": "LiveTradingSystem and LiveTradingManager",
    "002.zoo": "Horizons 5m to 20d, 20 families, 3 strategies, adaptive weighting",
    "002.loop": "Caches with an age, batched prediction, bounded memory, a loop that never blocks",
    "002.native": "C++ hot path, SIMD, bindings, build",
    "002.config": "Every documented configuration option under one name",
    "003.registry": "Registry, sequence buffers, families, missing models",
    "003.config": "live_trading_config.yaml as a profile",
    "003.live_step": "live_step and its test",
    "004.cli": "Command line, configuration, artefacts, Makefile targets",
    "004.data": "Connectivity, data modes, pacing, caching, optional adapters",
    "004.strategy": "Strategy rules, compliance, execution modes",
    "004.backtest": "Backtest, metrics, plots, logs",
    "004.research": "Walk-forward and permutation",
    "004.universe": "Universe management",
    "004.errors": "Error handling and extensibility",
    "004.acceptance": "Acceptance criteria",
    "card.services": "Six services, typed events, JetStream as write-ahead log, crash replay",
    "card.native": "Native kernels in inference and arbiter",
    "card.compose": "docker compose up, Grafana dashboards of the SLOs",
    "card.postmortem": "Replaying a subject for a post-mortem",
}
"""Document and section, or a word of ours where the document has no number."""


def marks_of(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (item, test) of every mark in one file; a module's mark names the module.

    Raises:
        ValueError: A mark that is no literal, or names no item.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(n, ast.Name) and n.id == "pytestmark" for n in node.targets):
            yield from ((item, path.as_posix()) for item in _items(node.value, path))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                yield from ((item, f"{path.as_posix()}::{node.name}") for item in _items(decorator, path))


def _items(node: ast.AST, path: Path) -> Iterator[str]:
    for call in ast.walk(node):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == MARK):
            continue
        for argument in call.args:
            item = argument.value if isinstance(argument, ast.Constant) else None
            if item not in ITEMS:
                raise ValueError(f"{path}:{call.lineno}: spec mark {ast.unparse(argument)} is no item; see {__file__}")
            yield str(item)


def page(tests: Path = TESTS) -> str:
    """Return the page; items without a test say so."""
    shown: dict[str, list[str]] = {item: [] for item in ITEMS}
    for path in sorted(tests.rglob("test_*.py")):
        for item, test in marks_of(path):
            shown[item].append(test)
    lines = [
        "# Which tests show which item of the specification",
        "",
        "Written by `python -m walstreet.testing.spec_coverage` from the tests' `spec` marks; do not edit by hand.",
        f"{sum(bool(found) for found in shown.values())} of {len(ITEMS)} items have a test.",
        "",
        "| item | what it is | tests |",
        "|---|---|---|",
    ]
    for item, what in ITEMS.items():
        names = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in dict.fromkeys(shown[item]))
        lines.append(f"| {item} | {what} | {names or 'not built yet'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
