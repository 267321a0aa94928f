"""Owns the generated files: JSON Schema, AsyncAPI, tables of events, settings and the decision core, golden bytes.

``python -m walstreet_services.cli.schema`` writes the files, ``--check`` exits 1 when one is stale,
``--write-fixtures`` adds golden bytes for events that have none; a published fixture is never overwritten.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import yaml

from walstreet.testing import core_coverage, guard_coverage
from walstreet.testing.events import every_event
from walstreet_events import READERS, SUBJECT_TABLE, Service, Stream, encode, matches, tag_of, to_json
from walstreet_events.subjects import SubjectRow
from walstreet_services.cli.settings_docs import configuration

SCHEMA_PATH = Path("proto/schema/events.schema.json")
ASYNCAPI_PATH = Path("proto/schema/asyncapi.yaml")
TABLE_PATH = Path("docs/EVENTS.md")
CONFIGURATION_PATH = Path("docs/CONFIGURATION.md")
FIXTURES_PATH = Path("proto/fixtures")
SUMS_NAME = "SHA256SUMS"
FIRST_FIXTURE = "0001"
DIFF_LINES_MAX = 40
PLACEHOLDER = "Placeholder"
JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
EACH_SERVICE = "each service"
OWN_READERS: dict[Stream, tuple[str, ...]] = {
    Stream.MD: (Service.EXECUTION.value,),
    Stream.DEAD: (Service.OPERATOR.value,),
}
"""Readers of the streams that are not the TAPE; ``READERS`` lists those of the TAPE."""


def sample_subject(row: SubjectRow) -> str:
    """Return a subject of the row in which every placeholder is filled with a word that stands nowhere else."""
    text = row.template
    while "{" in text:
        head, _, rest = text.partition("{")
        _, _, tail = rest.partition("}")
        text = f"{head}{PLACEHOLDER}{tail}"
    return text


def overlaps(pattern: str, sample: str) -> bool:
    """Return whether a reader's pattern takes at least some of the subjects that ``sample`` stands for."""
    return matches(pattern, sample) or matches(sample.replace(PLACEHOLDER, "*"), pattern)


def readers_of(row: SubjectRow) -> tuple[str, ...]:
    """Return who reads the row's events, in turn order."""
    if row.stream is not Stream.TAPE:
        return OWN_READERS[row.stream]
    subject = sample_subject(row)
    return tuple(
        service.value for service, patterns in READERS.items() if any(overlaps(item, subject) for item in patterns)
    )


def json_schema() -> str:
    """Return the JSON Schema document of every event, by type name."""
    _, components = msgspec.json.schema_components([row.event for row in SUBJECT_TABLE], ref_template="#/$defs/{name}")
    document = {
        "$schema": JSON_SCHEMA_DIALECT,
        "title": "walstreet events",
        "description": "JSON form of every event; byte fields are base64. On the log the same fields are msgpack.",
        "oneOf": [{"$ref": f"#/$defs/{row.event.__name__}"} for row in SUBJECT_TABLE],
        "$defs": components,
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def asyncapi() -> str:
    """Return the AsyncAPI 3.0 document: one channel per subject, who sends and who receives."""
    channels: dict[str, dict[str, object]] = {}
    operations: dict[str, object] = {}
    messages: dict[str, object] = {}
    for row in SUBJECT_TABLE:
        name = row.event.__name__
        channel = row.template.replace("{", "").replace("}", "")
        entry = channels.setdefault(channel, _channel(row))
        assert isinstance(entry["messages"], dict)
        entry["messages"][name] = {"$ref": f"#/components/messages/{name}"}
        messages[name] = {
            "name": tag_of(row.event),
            "contentType": "application/msgpack",
            "summary": _summary(row.event),
            "payload": {
                "schemaFormat": "application/schema+json;version=draft-2020-12",
                "schema": {"$ref": f"events.schema.json#/$defs/{name}"},
            },
        }
        parties = [("send", row.writer.value if row.writer else "any"), *(("receive", who) for who in readers_of(row))]
        for action, who in parties:
            operations[f"{who}.{action}.{name}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"}],
            }
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "walstreet",
            "version": "1",
            "description": "Generated from walstreet_events.subjects; do not edit.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/msgpack",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }
    return yaml.safe_dump(document, sort_keys=True, width=100, allow_unicode=True)


def table() -> str:
    """Return the documentation's table of events."""
    lines = [
        "# Events",
        "",
        "Generated by `python -m walstreet_services.cli.schema` from `walstreet_events.subjects`; do not edit.",
        "",
        "| event | subject | stream | writer | readers | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for row in SUBJECT_TABLE:
        writer = row.writer.value if row.writer else EACH_SERVICE
        readers = ", ".join(readers_of(row)) or "replay only"
        cells = (f"`{tag_of(row.event)}`", f"`{row.template}`", row.stream.value, writer, readers)
        lines.append(f"| {' | '.join(cells)} | {_summary(row.event)} |")
    return "\n".join(lines) + "\n"


def generated(root: Path) -> dict[Path, str]:
    """Return every generated text file by its path under the root; the core's page needs the tests it is made from."""
    files = {
        SCHEMA_PATH: json_schema(),
        ASYNCAPI_PATH: asyncapi(),
        TABLE_PATH: table(),
        CONFIGURATION_PATH: configuration(),
    }
    if not _has_tests(root):
        return files
    return files | {core_coverage.PAGE: core_coverage.page(root), guard_coverage.PAGE: guard_coverage.page(root)}


def _has_tests(root: Path) -> bool:
    return (root / core_coverage.TESTS).is_dir()


def stale(root: Path, wanted: Mapping[Path, str]) -> list[str]:
    """Return, per file that is missing or differs, the first lines of its difference."""
    hints: list[str] = []
    for path, text in wanted.items():
        have = (root / path).read_text(encoding="utf-8") if (root / path).exists() else ""
        if have == text:
            continue
        lines = difflib.unified_diff(have.splitlines(), text.splitlines(), str(path), "generated", lineterm="", n=1)
        hints.append("\n".join(list(lines)[:DIFF_LINES_MAX]))
    return hints


def write_fixtures(root: Path) -> list[Path]:
    """Write golden bytes of events that have none and return the new files; existing ones stay as they are."""
    folder, written = root / FIXTURES_PATH, []
    for tag, event in every_event().items():
        payload = encode(event)
        path = folder / tag / f"{FIRST_FIXTURE}.msgpack"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
        path.with_suffix(".json").write_text(to_json(event) + "\n", encoding="utf-8")
        written += [path, path.with_suffix(".json")]
    sums = folder / SUMS_NAME
    have = read_sums(sums)
    for path in written:
        have[path.relative_to(folder).as_posix()] = sha256_of(path)
    sums.parent.mkdir(parents=True, exist_ok=True)
    sums.write_text("".join(f"{have[name]}  {name}\n" for name in sorted(have)), encoding="utf-8")
    return written


def read_sums(path: Path) -> dict[str, str]:
    """Return the recorded digest per fixture; empty when there is no record yet."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="walstreet-schema", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout; default: the current directory")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a generated file is stale")
    parser.add_argument("--write-fixtures", action="store_true", help="add golden bytes for events without any")
    options = parser.parse_args(arguments)
    root: Path = options.root
    if not (root / "proto" / "walstreet_events").is_dir():
        print(f"{root} is no checkout of walstreet (it has no proto/walstreet_events); use --root", file=sys.stderr)
        return 2
    if options.check:
        hints = stale(root, generated(root))
        for hint in hints:
            print(hint, file=sys.stderr)
        if hints:
            print("generated files are stale; run `make schema` and commit the result", file=sys.stderr)
        return 1 if hints or _unproved(root) else 0
    for path, text in generated(root).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    if options.write_fixtures:
        print(f"{len(write_fixtures(root))} fixture files added")
    return 1 if _unproved(root) else 0


def _unproved(root: Path) -> bool:
    """Say which components of the decision core and which guards lack their proof, and return whether any does."""
    if not _has_tests(root):
        return False
    lines = [f"{core_coverage.PAGE}: {line}; see {core_coverage.TABLE}" for line in core_coverage.problems(root)]
    lines += [f"{guard_coverage.PAGE}: {line}; see {guard_coverage.TABLE}" for line in guard_coverage.problems(root)]
    for line in lines:
        print(line, file=sys.stderr)
    return bool(lines)


def _channel(row: SubjectRow) -> dict[str, object]:
    parameters: dict[str, object] = {}
    text = row.template
    while "{" in text:
        name, _, text = text.partition("{")[2].partition("}")
        parameters[name] = {"description": f"The event's field `{name}` as one subject token."}
    channel: dict[str, object] = {"address": row.template, "description": f"Stream {row.stream.value}", "messages": {}}
    return {**channel, "parameters": parameters} if parameters else channel


def _summary(event: type[msgspec.Struct]) -> str:
    """Return the first paragraph of an event's docstring on one line."""
    paragraph = (event.__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main())
