"""`walstreet adopt` shows what waits, asks for a person and a reason, and follows the operator's chain."""

from __future__ import annotations

import argparse
import json

import msgspec
import pytest

from walstreet.adapters.nats.reader import RawMessage
from walstreet.runtime.errors import UsageError
from walstreet.testing.events import OPEN_NS, clock_tick, every_event
from walstreet.testing.events_recon import adopt_command, external_order, ledger_correction
from walstreet_events import BreakKind, ReconBreak, encode, subject_of
from walstreet_events import headers as names
from walstreet_services.cli import adopt_command as module
from walstreet_services.cli.__main__ import parser
from walstreet_services.cli.adopt_command import Waiting
from walstreet_services.cli.operator_writer import OperatorWriter, require_running


def waiting(*events):
    """Return what waits after the events."""
    state = Waiting()
    for event in events:
        state.take(event)
    return state


def broken(**changes):
    """Return a recorded break of a position."""
    event = every_event()["recon_break.v1"]
    assert isinstance(event, ReconBreak)
    return msgspec.structs.replace(event, **changes)


def test_what_waits_is_said_in_words():
    """Orders with whose they are, positions with both sides; breaks of orders and synced ones are not for adoption."""
    state = waiting(
        external_order("BBB", 1),
        external_order("BBB", 2),
        broken(policy="strict"),
        broken(symbol="CCC", policy="auto_sync"),
        broken(symbol="DDD", reference="order-1"),
        broken(symbol="EEE", kind=BreakKind.EXTERNAL_ORDER, reference="opening_position", ours="unexplained"),
    )
    assert state.facts == {
        "BBB": ["order 5 (manual): Submitted, 10 shares"],
        "AAA": ["position: ours 30, the broker's 40"],
        "EEE": ["opening_position: ours unexplained, the broker's 40"],
    }
    assert "BBB" in state.externals
    assert "AAA" not in state.externals, "under strict the whole book waits"


def test_an_adoption_ends_the_waiting():
    """Only the correction does, not the command."""
    state = waiting(external_order("BBB", 1, status="Filled"), adopt_command("BBB", 2))
    assert "BBB" in state.facts
    state.take(ledger_correction("BBB", 3))
    assert (state.facts, "BBB" in state.externals) == ({}, False)


def test_the_list_for_machines(capsys: pytest.CaptureFixture[str]):
    """Without a symbol the command prints what waits."""
    options = argparse.Namespace(json=True)
    module._list(options, waiting(external_order("BBB", 1)))
    assert json.loads(capsys.readouterr().out) == {
        "BBB": {"blocked": True, "facts": ["order 5 (manual): Submitted, 10 shares"]}
    }
    module._list(argparse.Namespace(json=False), waiting(external_order("BBB", 1)))
    assert "BBB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ((), "--reason"),
        (("--by", "ada"), "--reason"),
        (("--reason", "x"), "--by"),
        (("--reason", "x", "--by", " "), "--by"),
    ],
)
def test_adoption_needs_a_person_and_a_reason(arguments, missing):
    """The message names what is missing, before anything is opened."""
    options = parser("adopt").parse_args(["adopt", "SPY", "--state", "nowhere", *arguments])
    with pytest.raises(UsageError, match=f"adopt SPY needs {missing}"):
        options.run(options)


def test_an_ended_session_is_not_written_to(tmp_path):
    """The remedy is the caller's."""
    with pytest.raises(UsageError, match="look there"):
        require_running(str(tmp_path), lambda _: "look there")
    require_running(None, lambda _: "never asked")


def stored(seq, event, producer="gateway", epoch=1, number=1):
    """Return an event as the TAPE stores it."""
    headers = {names.EPOCH: str(epoch), names.SEQ: str(number), names.CHAIN: "c" * 32, names.PRODUCER: producer}
    return RawMessage(seq=seq, subject=subject_of(event), headers=headers, payload=encode(event))


def test_the_writer_follows_the_operators_chain():
    """The last own message is the head, the last epoch its fence, the last clock event the time."""
    writer = OperatorWriter()
    tick = clock_tick(OPEN_NS + 5)
    assert writer.note(stored(1, tick)) == tick
    epoch = msgspec.structs.replace(every_event()["producer_epoch.v1"], service="operator")
    assert writer.note(stored(2, epoch, producer="operator")) is None
    command = adopt_command("SPY", 1)
    assert writer.note(stored(3, command, producer="operator", number=2)) == command
    assert (writer.ts_ns, writer._epoch_seq, writer._head.seq, writer._head.stream_seq) == (OPEN_NS + 5, 2, 2, 3)
