"""The generated contract documents are current, valid and agree with the events."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from walstreet.testing.events import every_event
from walstreet_events import SUBJECT_TABLE, tag_of, to_json
from walstreet_services.cli import schema

ROOT = Path(__file__).resolve().parents[2]


def test_the_generated_files_are_current():
    """The checkout holds what the generator writes."""
    assert schema.main(["--root", str(ROOT), "--check"]) == 0


def test_a_stale_file_fails_the_check_with_a_difference(tmp_path, capsys):
    """A changed line is shown, the exit status is 1, and writing mends it."""
    (tmp_path / "proto" / "walstreet_events").mkdir(parents=True)
    assert schema.main(["--root", str(tmp_path), "--check"]) == 1
    assert schema.main(["--root", str(tmp_path)]) == 0
    assert schema.main(["--root", str(tmp_path), "--check"]) == 0
    path = tmp_path / schema.TABLE_PATH
    path.write_text(path.read_text(encoding="utf-8").replace("bar.1m", "bar.2m"), encoding="utf-8")
    capsys.readouterr()
    assert schema.main(["--root", str(tmp_path), "--check"]) == 1
    complaint = capsys.readouterr().err
    assert "bar.2m" in complaint
    assert "make schema" in complaint


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, capsys):
    """The message names the folder and the remedy."""
    assert schema.main(["--root", str(tmp_path)]) == 2
    assert "--root" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_fixtures_are_added_by_the_command(tmp_path, capsys):
    """The option writes golden bytes and says how many."""
    (tmp_path / "proto" / "walstreet_events").mkdir(parents=True)
    assert schema.main(["--root", str(tmp_path), "--write-fixtures"]) == 0
    assert f"{2 * len(SUBJECT_TABLE)} fixture files added" in capsys.readouterr().out


@pytest.mark.parametrize("tag", sorted(every_event()))
def test_every_event_fits_its_json_schema_and_a_damaged_one_does_not(tag):
    """The schema accepts the example and refuses it without its time."""
    event = every_event()[tag]
    document = json.loads(schema.json_schema())
    one = {"$ref": f"#/$defs/{type(event).__name__}", "$defs": document["$defs"]}
    validator = jsonschema.Draft202012Validator(one)
    instance = json.loads(to_json(event))
    validator.validate(instance)
    del instance["ts_ns"]
    assert not validator.is_valid(instance)


def test_the_asyncapi_document_names_every_event_sender_and_receiver():
    """Every row has a channel with its message and an operation of its writer; references resolve."""
    document = yaml.safe_load(schema.asyncapi())
    assert document["asyncapi"] == "3.0.0"
    for row in SUBJECT_TABLE:
        name = row.event.__name__
        channels = [key for key, channel in document["channels"].items() if name in channel["messages"]]
        (key,) = channels
        assert document["channels"][key]["address"] == row.template
        assert document["components"]["messages"][name]["name"] == tag_of(row.event)
        writer = row.writer.value if row.writer else "any"
        sending = document["operations"][f"{writer}.send.{name}"]
        assert sending["channel"]["$ref"] == f"#/channels/{key}"
        for reader in schema.readers_of(row):
            assert document["operations"][f"{reader}.receive.{name}"]["action"] == "receive"


def test_the_documentation_lists_every_event():
    """Each tag stands in the table with its subject."""
    text = schema.table()
    for row in SUBJECT_TABLE:
        assert f"| `{tag_of(row.event)}` | `{row.template}` |" in text
