"""Fault scripts: what is read, what is refused and with which words, and when a fault starts and ends."""

from datetime import date
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet_services.ibsim.calendar_xnys import session_on
from walstreet_services.ibsim.clock import SessionClock
from walstreet_services.ibsim.fault_base import MESSAGE_IDS, Message, RequestName
from walstreet_services.ibsim.fault_engine import FaultEngine
from walstreet_services.ibsim.fault_load import FaultError, convert, kind_of, load_script, trigger_ns
from walstreet_services.ibsim.fault_model import AnyFault, FaultScript
from walstreet_services.ibsim.journal import Journal

SESSION = session_on(date(2026, 11, 20))
SECOND = 10**9


def script(tmp_path, text):
    """Return the script of some YAML."""
    path = tmp_path / "faults.yaml"
    path.write_text(text, encoding="utf-8")
    return load_script(path)


def refusal(tmp_path, text):
    """Return the words with which some YAML is refused."""
    with pytest.raises(FaultError) as caught:
        script(tmp_path, text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_script_is_read(tmp_path):
    """Seed, kinds, triggers and values arrive as typed faults; an empty file is an empty script."""
    found = script(
        tmp_path,
        """
        seed: 9
        faults:
          - {kind: outage, at: "09:45:00", seconds: 30, end_code: 1101, subscriptions: lost}
          - {kind: drop_placements, after_orders: 2, count: 1}
          - {kind: halt, at: 10:45:00, symbols: [SYN01]}
        """,
    )
    assert found.seed == 9
    assert [kind_of(fault) for fault in found.faults] == ["outage", "drop_placements", "halt"]
    assert found.faults[1].count == 1
    assert trigger_ns(found.faults[2].at, SESSION) == SESSION.open_ns + 75 * 60 * SECOND
    assert script(tmp_path, "") == FaultScript()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("faults: [{kind: outage, secnds: 3}]", ["faults[0]", "'secnds'", "did you mean 'seconds'", "end_code"]),
        (
            "faults: [{kind: hang}, {kind: outge}]",
            ["faults[1].kind", "'outge'", "did you mean 'outage'", "known kinds"],
        ),
        ("faults: [{seconds: 3}]", ["faults[0]", "kind"]),
        ("sead: 3", ["'sead'", "did you mean 'seed'"]),
        ("faults: [{kind: hang, seconds: -1}]", ["faults[0].seconds", "> 0"]),
        ("faults: [{kind: hang, seconds: soon}]", ["faults[0].seconds", "float"]),
        ("faults: [{kind: lose, messages: [orderStatus]}]", ["faults[0].messages[0]", "'orderStatus'"]),
        ("faults: [{kind: lose, messages: []}]", ["faults[0].messages"]),
        ("faults: [{kind: hold, messages: [commission]}]", ["cannot hold commission", "open_order"]),
        ("faults: [{kind: hang, at: '10:00:00', after_orders: 1}]", ["two triggers", "write two entries"]),
        ("faults: [{kind: hang, kind: farm}]", ["'kind' stands twice"]),
        ("faults: [", ["is no YAML"]),
        ("[]", ["top level"]),
    ],
)
def test_mistakes_are_refused_with_path_and_remedy(tmp_path, text, words):
    """Every mistake names where it stands and what can be written instead, in one line."""
    said = refusal(tmp_path, text)
    assert "faults.yaml" in said
    for word in words:
        assert word in said


def test_files_that_cannot_be_read_are_refused(tmp_path):
    """A missing file and one that is no text are named."""
    with pytest.raises(FaultError, match="cannot be read"):
        load_script(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FaultError, match="not UTF-8"):
        load_script(tmp_path / "bytes.yaml")


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        ("09:30:00", 0),
        ("open+90", 90),
        ("open-30", -30),
        ("close-60", 390 * 60 - 60),
        (35_000, 800),
        ("16:00:01", 23_401),
    ],
)
def test_times_are_of_the_session(at, seconds):
    """Clock times are the exchange's; offsets count from open and close; numbers from midnight."""
    assert trigger_ns(at, SESSION) == SESSION.open_ns + seconds * SECOND


@pytest.mark.parametrize("at", ["noon", "25:00:00", "09:60:00", "open+", "", -1, 86_400, "open+9999999"])
def test_no_times_are_refused(at):
    """What is no time is named, with the forms that are."""
    with pytest.raises(FaultError, match="write HH:MM:SS"):
        trigger_ns(at, SESSION)


def test_the_names_of_messages_are_one_list():
    """The names that a script may use are those that have a message id, and all kinds have distinct names."""
    assert set(get_args(Message)) == set(MESSAGE_IDS)
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)
    kinds = [kind.__struct_config__.tag for kind in get_args(AnyFault)]
    assert len(set(kinds)) == len(kinds)
    assert "what_if" in get_args(RequestName)


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "at", "seconds", "x"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_tree_is_read_or_refused(tree):
    """Whatever stands in a script, it is a script or one line says why not."""
    try:
        found = convert({"faults": tree}, FaultScript, "test")
    except FaultError as problem:
        assert str(problem).startswith("test: ")  # noqa: PT017 - the error's words are what is tested
    else:
        assert isinstance(found, FaultScript)


class World:
    """An engine over a clock that the test moves."""

    def __init__(self, path=None):
        self.clock = SessionClock(SESSION.open_ns, None, lambda: 0)
        self.journal = Journal(path)
        self.engine = FaultEngine(clock=self.clock, session=SESSION, journal=self.journal, seed=1)

    def add(self, **fault):
        """Hand a fault in."""
        return self.engine.add(convert(fault, AnyFault, "test"))

    def to(self, seconds):
        """Move the clock."""
        self.clock.advance(SESSION.open_ns + round(seconds * SECOND))
        self.engine.advance(self.clock.now_ns())

    def kinds(self):
        """Return the kinds in force."""
        return [row["kind"] for row in self.engine.state() if row["state"] == "in force"]


def test_a_fault_lives_from_its_time_for_its_seconds(tmp_path):
    """It starts at its time, ends after its seconds, and both are written down with their own time."""
    world = World(tmp_path / "truth")
    world.add(kind="hang", at="open+10", seconds=5)
    world.to(9.9)
    assert world.kinds() == []
    world.to(10)
    assert world.kinds() == ["hang"]
    world.to(100)
    assert world.kinds() == []
    world.journal.close()
    records = [msgspec.json.decode(line) for line in (tmp_path / "truth").read_bytes().splitlines()]
    assert next((row["kind"], row["ts_ns"] - SESSION.open_ns) for row in records) == ("fault_started", 10 * SECOND)
    assert records[1]["kind"] == "fault_ended"


def test_counts_run_from_where_a_fault_is_handed_in():
    """A script's counts run from the start, an injected fault's from its injection; each starts once."""
    world = World()
    world.add(kind="hang", after_orders=2)
    world.engine.count("orders")
    world.add(kind="pacing", after_orders=2)
    world.engine.count("messages")
    assert world.kinds() == []
    world.engine.count("orders")
    assert world.kinds() == ["hang"]
    world.engine.count("orders")
    assert world.kinds() == ["hang", "pacing"]
    world.engine.count("orders")
    assert world.kinds() == ["hang", "pacing"]


def test_the_last_strike_ends_a_fault_and_clear_ends_any():
    """A fault with a count of two is gone after two strikes; a waiting one can be taken back."""
    world = World()
    number = world.add(kind="what_if", answer="never", count=2)
    active = world.engine._active[number]
    world.engine.strike(active, 0)
    assert world.kinds() == ["what_if"]
    world.engine.strike(active, 0)
    assert world.kinds() == []
    waiting = world.add(kind="hang", after_fills=1)
    assert world.engine.clear(waiting)
    assert not world.engine.clear(waiting)
    world.engine.count("fills")
    assert world.kinds() == []


def test_times_that_have_passed_and_unknown_symbols_are_refused():
    """A fault that could never happen is refused when it is handed in."""
    world = World()
    world.to(60)
    with pytest.raises(FaultError, match="has passed"):
        world.add(kind="hang", at="open+30")
