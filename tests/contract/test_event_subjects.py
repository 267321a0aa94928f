"""Every event has one place on the log and one writer, and every reader reads something."""

from __future__ import annotations

import typing

import pytest

from walstreet.testing.events import every_event
from walstreet_events import (
    READERS,
    SUBJECT_TABLE,
    TURN_ORDER,
    AnyEvent,
    AnyTick,
    Service,
    Stream,
    matches,
    may_write,
    reads,
    subject_of,
    write_patterns,
)
from walstreet_events.subjects import DEAD_SUBJECTS, MD_SUBJECTS, TAPE_SUBJECTS, row_of, token
from walstreet_services.cli.schema import overlaps, sample_subject

STREAM_SUBJECTS = {Stream.TAPE: TAPE_SUBJECTS, Stream.MD: MD_SUBJECTS, Stream.DEAD: DEAD_SUBJECTS}


def test_every_event_of_the_unions_has_exactly_one_row():
    """The table and the unions list the same types, each once."""
    types = [row.event for row in SUBJECT_TABLE]
    assert len(types) == len(set(types))
    assert set(types) == {*typing.get_args(AnyEvent), *typing.get_args(AnyTick)}


@pytest.mark.parametrize("tag", sorted(every_event()))
def test_an_events_subject_belongs_to_its_stream_and_writer_only(tag):
    """No other stream takes the subject, and no other service may write it."""
    event = every_event()[tag]
    row, subject = row_of(type(event)), subject_of(event)
    streams = [stream for stream, patterns in STREAM_SUBJECTS.items() if any(matches(p, subject) for p in patterns)]
    assert streams == [row.stream]
    writers = [service for service in Service if may_write(service, subject)]
    assert writers == [row.writer or Service(event.service)]
    assert " " not in subject
    assert ".." not in subject


def test_no_two_services_share_a_subject():
    """Rows of different writers never match each other's subjects."""
    for row in SUBJECT_TABLE:
        subject = sample_subject(row)
        others = [other for other in Service if row.writer is not None and other is not row.writer]
        assert not [other for other in others if may_write(other, subject)], subject


@pytest.mark.parametrize(
    ("service", "pattern"), [(service, pattern) for service, patterns in READERS.items() for pattern in patterns]
)
def test_every_pattern_of_a_reader_matches_something(service, pattern):
    """A pattern that matches no row is a misspelling."""
    rows = [row for row in SUBJECT_TABLE if row.stream is Stream.TAPE and overlaps(pattern, sample_subject(row))]
    assert rows, f"{service.value} reads {pattern}, which nobody writes"


def test_readers_are_told_apart():
    """Features do not read orders, and execution reads bars for its guards, but no predictions."""
    assert reads(Service.ARBITER, "order.event.AAA")
    assert not reads(Service.FEATURES, "order.event.AAA")
    assert reads(Service.EXECUTION, "bar.1m")
    assert not reads(Service.EXECUTION, "pred.1m")
    assert reads(Service.EXECUTION, "epoch.arbiter")
    assert not reads(Service.EXECUTION, "epoch.features")


def test_every_service_takes_its_turn_once():
    """The turn order holds the six services, the operator none."""
    assert set(TURN_ORDER) == set(Service) - {Service.OPERATOR}
    assert len(TURN_ORDER) == len(set(TURN_ORDER))


def test_own_names_are_filled_into_shared_templates():
    """Each service may write its own epoch and nobody else's."""
    for service in Service:
        assert f"epoch.{service.value}" in write_patterns(service)
        assert [other for other in Service if may_write(other, f"epoch.{service.value}")] == [service]


def test_tokens_carry_no_separators():
    """Symbols with blanks, dots or wildcards become one token."""
    assert token("BRK B") == "BRK_B"
    assert token("a.b*c>") == "a_b_c_"
    assert token("") == "_"
