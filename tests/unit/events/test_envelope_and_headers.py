"""Identity, array blocks and the hash chain are pure functions of their inputs."""

from __future__ import annotations

import numpy as np
import pytest

from walstreet_events import derive_id, float_block, int_block
from walstreet_events.headers import CHAIN_START, chain_next


def test_an_id_is_fixed_for_ever():
    """The id of a cause, kind and index never changes; the value is published in logs."""
    assert derive_id("bar:2026-11-20:1", "bar_block.v1", 0) == "3c789bf6ac535bdb20a302fa0d44dd5b"


def test_ids_differ_in_every_part():
    """Cause, kind and index are separated, so that no two combinations meet."""
    ids = {derive_id(*parts) for parts in (("a", "b", 0), ("a", "b", 1), ("a", "c", 0), ("ab", "", 0), ("", "ab", 0))}
    assert len(ids) == 5


def test_blocks_keep_shape_values_and_missing_numbers():
    """Arrays come back as they were, NaN included, and cannot be written to."""
    values = np.array([[1.5, np.nan], [-0.0, np.inf]])
    back = float_block(values).array()
    assert back.shape == (2, 2)
    assert back.tobytes() == values.tobytes()
    assert not back.flags.writeable
    assert int_block(np.arange(6).reshape(2, 3)[:, ::2]).array().tolist() == [[0, 2], [3, 5]]
    assert int_block([]).array().shape == (0,)


def test_floats_are_no_integers():
    """Prices must be scaled before they become a block."""
    with pytest.raises(TypeError, match="scale and round"):
        int_block([1.5])


def test_the_chain_depends_on_everything_that_identifies_a_message():
    """Any change of predecessor, producer, epoch, sequence, subject or payload gives another value."""
    facts = {"producer": "gateway", "epoch": 1, "seq": 2, "subject": "bar.1m", "payload": b"x"}
    base = chain_next(CHAIN_START, **facts)
    changes = ({"producer": "features"}, {"epoch": 2}, {"seq": 3}, {"subject": "bar.2m"}, {"payload": b"y"})
    others = {chain_next(CHAIN_START, **{**facts, **change}) for change in changes} | {chain_next("0", **facts)}
    assert len(others) == 6
    assert base not in others
    assert base == chain_next(CHAIN_START, **facts)
