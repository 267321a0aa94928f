"""What a person must look at is one line with a remedy; what took itself over is said once, by its correction."""

from __future__ import annotations

import msgspec
import pytest
from structlog.testing import capture_logs

from walstreet.testing.events import every_event
from walstreet.testing.events_recon import ledger_correction
from walstreet_events import BreakKind, ReconBreak
from walstreet_services.reconciler.shell import ReconcilerShell


def broken(**changes):
    """Return a recorded break."""
    event = every_event()["recon_break.v1"]
    assert isinstance(event, ReconBreak)
    return msgspec.structs.replace(event, **changes)


async def said(event):
    """Return the lines that an event causes."""
    with capture_logs() as lines:
        await ReconcilerShell().react(event)
    return lines


@pytest.mark.parametrize("kind", list(BreakKind))
async def test_each_kind_has_a_remedy(kind):
    """Strict is critical, a warning an error; both name the symbol, both sides, and what to do."""
    for policy, level in (("strict", "critical"), ("warn", "error")):
        (line,) = await said(broken(kind=kind, policy=policy))
        assert (line["event"], line["log_level"], line["kind"]) == ("reconciliation_break", level, kind.value)
        assert (line["symbol"], line["ours"], line["brokers"]) == ("AAA", "30", "40")
        assert len(line["remedy"]) > 20


async def test_a_position_from_before_the_log_names_the_command():
    """The remedy can be pasted."""
    (line,) = await said(broken(kind=BreakKind.EXTERNAL_ORDER, policy="warn", reference="opening_position"))
    assert "`walstreet adopt AAA`" in line["remedy"]


async def test_what_is_taken_over_is_said_by_the_correction():
    """An `auto_sync` break is silent; its correction is a warning, an adoption is information with a name."""
    assert await said(broken(policy="auto_sync")) == []
    (line,) = await said(ledger_correction("AAA", 1, policy="auto_sync", position_change_micro=7))
    assert (line["event"], line["log_level"], line["position_change_micro"]) == ("books_corrected", "warning", 7)
    (line,) = await said(ledger_correction("AAA", 1))
    assert (line["log_level"], line["operator"]) == ("info", "ada")


async def test_other_facts_are_none_of_its_business():
    """Requests and reports cause no line."""
    for tag in ("recon_request.v1", "recon_report.v1", "recon_snapshot.v1", "order_filled.v1"):
        assert await said(every_event()[tag]) == []
