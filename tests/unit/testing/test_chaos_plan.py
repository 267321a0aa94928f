"""Owns the tests of the chaos suite's own parts: plans from seeds, the verdict about orphans, and the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from walstreet.runtime.crash_points import POINTS, Done
from walstreet.testing.chaos.judge import orphans
from walstreet.testing.chaos.picture import draw
from walstreet.testing.chaos.plan import KINDS, ROUND, SERVICES, make_plan, points_of
from walstreet.testing.chaos.result import ChaosResult, SessionResult, by_signal, matrix, session_rows, summary_rows
from walstreet.testing.chaos.rows import ROWS
from walstreet.testing.events import every_event
from walstreet_events import OrderState, OrderUpdated

ROOT = Path(__file__).resolve().parents[3]


def test_a_seed_spells_a_plan() -> None:
    """The same seed gives the same plan, another one another; every line can come true in that service."""
    for kind in KINDS.values():
        plan = make_plan(kind, 7)
        assert plan == make_plan(kind, 7)
        assert plan != make_plan(kind, 8)
        for service, crashes in plan.crashes.items():
            assert len(crashes) == kind.lines
            assert {crash.point for crash in crashes} <= set(points_of(kind, service))


def test_a_round_has_every_process_at_every_moment() -> None:
    """Over one round each service dies, and together they die at every named moment."""
    seen: set[str] = set()
    services: set[str] = set()
    for number, name in enumerate(ROUND):
        for service, crashes in make_plan(KINDS[name], number).crashes.items():
            services.add(service)
            seen |= {crash.point for crash in crashes}
    assert services == set(SERVICES)
    assert seen == set(POINTS)


def updated(reference: str, state: OrderState) -> OrderUpdated:
    """Return an update of an order."""
    sample = every_event()["order_updated.v1"]
    return type(sample)(
        **{
            **{name: getattr(sample, name) for name in sample.__struct_fields__},
            "client_order_id": reference,
            "state": state,
        }
    )


@pytest.mark.parametrize(
    ("status", "ours", "count"),
    [
        ("Submitted", OrderState.WORKING, 0),
        ("Submitted", OrderState.UNKNOWN, 0),
        ("Submitted", OrderState.EXPIRED, 1),
        ("Submitted", None, 1),
        ("Filled", OrderState.FILLED, 0),
        ("Cancelled", OrderState.WORKING, 0),
    ],
)
def test_an_orphan_is_alive_there_and_ended_here(status: str, ours: OrderState | None, count: int) -> None:
    """Alive at the broker is an orphan when our books hold it for ended, or never heard of it."""
    records = [
        {"kind": "order_accepted", "perm_id": 1, "order_ref": "a"},
        {"kind": "status", "perm_id": 1, "status": status},
    ]
    told = [] if ours is None else [updated("a", ours)]
    assert len(orphans(records, told)) == count


def test_tables_and_picture_tell_what_was_done(tmp_path: Path) -> None:
    """Counts by moment, by signal and by invariant; a violation makes the run unclean."""
    crash = make_plan(KINDS["execution"], 1).crashes["execution"][0]
    done = [Done(line=0, crash=crash, pid=1, what="", passages=1)]
    session = SessionResult(
        kind="execution",
        seed=1,
        lockstep=True,
        code=0,
        elapsed_s=1.0,
        crashes={"execution": done},
        restarts_of_log_server=2,
        orders=3,
        fills=4,
    )
    result = ChaosResult(seed=1, wanted=3, elapsed_s=1.0, machine="m", sessions=[session])
    assert result.clean
    assert result.count == 3
    assert matrix(result) == {("execution", crash.point): 1}
    assert sum(by_signal(result).values()) == 3
    assert session_rows([session]) == [("execution", "1", "3", "3", "4", "1 of 1")]
    assert all(path.stat().st_size > 1000 for path in draw(result, tmp_path))
    broken = ChaosResult(seed=1, wanted=4, elapsed_s=1.0, machine="m", sessions=[session])
    assert not broken.clean
    assert {count for _, count in summary_rows(result)} == {0}


def test_every_row_has_its_script_and_every_script_its_row() -> None:
    """No script is left without a check, and no check without a script."""
    scripts = {path.stem for path in (ROOT / "tests" / "faults").glob("*.yaml")}
    assert {row.script for row in ROWS} == scripts
