"""Owns the check that the kernel benchmark computes what it claims before it times anything."""

import importlib.util
import sys
from pathlib import Path


def test_quick_rows_are_complete() -> None:
    """Every row carries a positive time, a peer and a target; results agree with the peer's."""
    path = Path(__file__).parents[2] / "bench" / "bench_kernels.py"
    specification = importlib.util.spec_from_file_location("bench_kernels", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["bench_kernels"] = module
    specification.loader.exec_module(module)
    rows = module.bench_rows(quick=True)
    assert {row["name"] for row in rows} >= {"feature update", "simplex projection", "blend"}
    for row in rows:
        assert row["median"] > 0.0
        assert row["p99"] >= row["median"]
        assert row["ratio"] == row["peer_median"] / row["median"]
        assert row["target"] >= 1.0
