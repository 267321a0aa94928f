"""Tests of the blackout around nightly resets: inside and outside, over midnight, changed clocks, missing facts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from walstreet.domain.arming import ArmingParameters
from walstreet.domain.execution_parameters import ExecutionParameters
from walstreet.domain.guard_reset import (
    PUBLISHED,
    ResetFacts,
    ResetParameters,
    ResetReason,
    ResetWindow,
    check_reset,
    inactive_guards,
    reset_now,
)
from walstreet.domain.guard_verdict import GuardedOrder, GuardVerdict, Outcome
from walstreet.runtime.settings import load_settings
from walstreet.testing.execution_world import (
    NOW_NS,
    S,
    account,
    block,
    clock,
    intent,
    ready_world,
    reasons,
    status,
    submit,
)
from walstreet.testing.panic_world import MiniBroker, command
from walstreet_events import NANOS_PER_SECOND, OrderCancelling, OrderSubmitting, Side

NEW_YORK = ZoneInfo("America/New_York")
DEFAULTS = ResetParameters()
NOW_WINDOW = ResetParameters(windows=(ResetWindow(name="gateway", at="08:50", lasts_s=600.0),))
"""``NOW_NS`` of the test world is 08:56:40 in New York."""


def at(text: str, *, fold: int = 0) -> int:
    """Return a local time of New York as nanoseconds UTC."""
    local = datetime.fromisoformat(text).replace(tzinfo=NEW_YORK, fold=fold)
    return round(local.timestamp()) * NANOS_PER_SECOND


def judged(now_ns: int | None, parameters: ResetParameters = DEFAULTS, *, reducing: bool = False) -> GuardVerdict:
    """Return the verdict on a sell of 100, flat or holding them."""
    order = GuardedOrder(
        symbol="SPY",
        side=Side.SELL,
        quantity_micro=100,
        limit_nano=1,
        position_micro=100 if reducing else 0,
    )
    return check_reset(ResetFacts(now_ns=now_ns, order=order), parameters)


@pytest.mark.guard("blocks", "reset")
@pytest.mark.guard("passes", "reset")
@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("2026-07-15 23:41:59", False),
        ("2026-07-15 23:42:00", True),
        ("2026-07-15 23:59:59", True),
        ("2026-07-16 00:00:00", True),
        ("2026-07-16 00:45:59", True),
        ("2026-07-16 00:46:00", False),
        ("2026-07-16 12:00:00", False),
        # Friday night is longer, and Saturday's own comes on top.
        ("2026-07-17 22:56:59", False),
        ("2026-07-17 22:57:00", True),
        ("2026-07-18 03:00:59", True),
        ("2026-07-18 03:01:00", False),
        ("2026-07-18 23:42:00", True),
    ],
)
def test_the_published_resets_by_the_minute(text: str, inside: bool) -> None:
    """Three minutes before until a minute after, over midnight; on Friday from 23:00 to 03:00."""
    verdict = judged(at(text))
    assert (verdict.outcome is Outcome.REFUSED) is inside
    assert verdict.code == (ResetReason.RESET_BLACKOUT if inside else "")


def test_the_hours_of_trading_are_never_blacked_out() -> None:
    """Every minute from 04:00 to 20:00 of the weekdays of two weeks around each change of the clocks is free."""
    for first in ("2026-03-02", "2026-10-26"):
        begin_ns = at(f"{first} 04:00:00")
        for minute in range(14 * 24 * 60):
            now_ns = begin_ns + minute * 60 * S
            local = datetime.fromtimestamp(now_ns / 1e9, tz=NEW_YORK)
            if 4 <= local.hour < 20 and local.weekday() < 5:
                assert reset_now(now_ns, DEFAULTS) is None, local


def test_in_spring_a_reset_in_the_hour_that_does_not_exist_is_kept() -> None:
    """02:30 on 8 March 2026 is 03:30 by the new clock and 01:30 by the old: both are blacked out, the rest is not."""
    parameters = ResetParameters(
        windows=(ResetWindow(name="gateway", at="02:30", lasts_s=600.0),), before_s=0.0, after_s=0.0
    )
    for text, inside in (
        ("2026-03-08 01:29:59", False),
        ("2026-03-08 01:30:00", True),
        ("2026-03-08 03:35:00", True),
        ("2026-03-08 03:40:00", False),
        ("2026-03-10 01:35:00", False),
        ("2026-03-10 02:35:00", True),
        ("2026-03-10 03:35:00", False),
    ):
        assert (reset_now(at(text), parameters) is not None) is inside, text


def test_in_autumn_both_passes_of_the_hour_are_blacked_out() -> None:
    """01:30 comes twice on 1 November 2026."""
    parameters = ResetParameters(windows=(ResetWindow(name="gateway", at="01:30", lasts_s=600.0),))
    for fold in (0, 1):
        assert reset_now(at("2026-11-01 01:35:00", fold=fold), parameters) is not None
    assert reset_now(at("2026-11-01 12:00:00"), parameters) is None


def test_another_zone() -> None:
    """05:45 in Zurich is 23:45 of the evening before in New York, and 22:45 in the weeks between the changes."""
    parameters = ResetParameters(
        windows=(ResetWindow(name="europe", at="05:45", lasts_s=3_600.0, zone="Europe/Zurich"),)
    )
    assert reset_now(at("2026-07-15 23:50:00"), parameters) is not None
    assert reset_now(at("2026-07-15 22:50:00"), parameters) is None
    assert reset_now(at("2026-03-17 00:50:00"), parameters) is not None
    assert reset_now(at("2026-03-17 23:50:00"), parameters) is None


def test_the_refusal_says_which_reset_and_for_how_long() -> None:
    """The operator reads whose reset it is and when it is over."""
    verdict = judged(at("2026-07-16 00:00:00"))
    assert verdict.detail == "broker resets at 23:45 America/New_York; ends_in_s 2760"


@pytest.mark.guard("reduces", "reset")
def test_what_only_reduces_passes() -> None:
    """The guard still says what it found."""
    verdict = judged(at("2026-07-16 00:00:00"), reducing=True)
    assert (verdict.outcome, verdict.code) == (Outcome.BYPASSED, ResetReason.RESET_BLACKOUT)


@pytest.mark.guard("missing", "reset")
def test_a_time_that_nobody_has_told_refuses() -> None:
    """Without a clock nothing is known to be outside."""
    for now_ns in (None, 0, -1):
        assert judged(now_ns).code == ResetReason.RESET_CLOCK_UNKNOWN
    assert judged(None, reducing=True).outcome is Outcome.BYPASSED


def test_missing_configuration_is_published_times_and_none_is_said() -> None:
    """A configuration that says nothing has the published resets; an empty list is named at start, and refused live."""
    empty = ResetParameters(windows=())
    assert ExecutionParameters().resets.windows == PUBLISHED
    assert judged(at("2026-07-16 00:00:00"), empty).outcome is Outcome.INACTIVE
    assert (inactive_guards(empty), inactive_guards(DEFAULTS)) == (("reset",), ())
    ExecutionParameters(resets=empty)
    with pytest.raises(ValueError, match=r"execution\.resets\.windows is empty"):
        ExecutionParameters(resets=empty, arming=ArmingParameters(trading="live"))


def test_the_deployed_configuration_names_the_published_resets() -> None:
    """config/base.yaml writes out what the code would do without it."""
    assert load_settings([Path("config/base.yaml")], environment={}).execution.resets == DEFAULTS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"at": "24:00"}, "allowed is '00:00' to '23:59'"),
        ({"at": "7:00"}, "allowed is"),
        ({"at": "ab:cd"}, "allowed is"),
        ({"at": ""}, "allowed is"),
        ({"lasts_s": 0.0}, "lasts_s is 0.0"),
        ({"lasts_s": 90_000.0}, "lasts_s"),
        ({"lasts_s": float("nan")}, "lasts_s is nan"),
        ({"name": " "}, "has no name"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(changes: dict[str, object], words: str) -> None:
    """At the reading of the configuration, with the value and what is allowed."""
    with pytest.raises(ValueError, match=words):
        msgspec.structs.replace(PUBLISHED[0], **changes)


def test_unknown_zones_days_and_repeated_names_are_refused() -> None:
    """A typing mistake is no reset that never comes."""
    good = msgspec.to_builtins(PUBLISHED[0])
    for wrong in ({"zone": "America/NewYork"}, {"days": ["monday"]}, {"start": "23:00"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"windows": [good | wrong]}, ResetParameters)
    with pytest.raises(ValueError, match="each once"):
        ResetParameters(windows=(PUBLISHED[0], PUBLISHED[0]))


# ---------------------------------------------------------------------------------------------------- in execution


def test_execution_refuses_intents_around_a_reset_and_sends_them_outside() -> None:
    """The refusal is journaled under its code; without the window the same intent goes out."""
    world = ready_world(resets=NOW_WINDOW)
    assert reasons(world.give(block(intent()))) == ["reset_blackout"]
    assert isinstance(ready_world().give(block(intent()))[0], OrderSubmitting)
    again = world.restarted()
    again.see(account())
    assert again.state.intents == world.state.intents


def test_cancels_and_reductions_go_out_around_a_reset() -> None:
    """An order that reduces is sent; one at work is cancelled when its time is over, and by a panic."""
    world = ready_world(resets=NOW_WINDOW)
    world.see(account(position=100))
    leaving = intent("exit", side=Side.SELL, reducing=True)
    submit(world, leaving)
    status(world, "Submitted")
    outs = world.give(clock(NOW_NS + 40 * S))
    assert [type(out) for out in outs] == [OrderCancelling]
    assert any(isinstance(out, OrderCancelling) for out in world.give(command("panic")))


def test_an_emergency_flattens_around_a_reset() -> None:
    """Panic with a position: proved, then closed, though nothing new may be opened."""
    world = ready_world(resets=NOW_WINDOW)
    world.see(account(position=100))
    broker = MiniBroker(world, position=100)
    broker.take(world.give(command("panic")))
    broker.step()
    broker.answer()
    broker.step()
    assert [(close.side, close.quantity_micro) for close in broker.places] == [(Side.SELL, 100_000_000)]
