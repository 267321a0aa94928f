"""Owns the rules of style that no linter knows, as failing tests: docstrings, sizes, leftovers, files that must agree.

Every rule is a function from the repository to a list of violations, so that the rules themselves can be tried on
bad input (the second half of this file), and a failure names every place at once.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("proto/", "libs/", "services/")
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
FILE_BYTES_MAX = 1 << 20
README_LINES = 40
README_COMMANDS = ("make run", "make test")
MAKE_TARGETS = ("help", "setup", "run", "test", "check", "lint", "type", "native", "build", "bench", "clean")
TESTED_PACKAGES = ("domain", "features", "kernels")
SKIPPED_FOLDERS = ("node_modules", "build", "dist", "state", "logs", "reports")

# The words are put together here, so that this file does not break its own rules.
LEFTOVER = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
MACHINE_PATH = re.compile(
    r"(?<![\w.~$}/-])/(?:" + "|".join(("wo" + "rk", "fa" + "rm", "ho" + "me", "ro" + "ot")) + r")/"
)
REGISTRY = re.compile(
    "|".join(
        (
            re.escape("pypi" + ".org/simple"),
            re.escape("files." + "pythonhosted.org"),
            r"--(?:extra-)?index" + "-url",
            r"\b(?:artifactory|nexus|devpi)\.[a-z]",
        )
    )
)
NO_ASSERTIONS = re.compile(r"\bpython[0-9.]*\s+(?:-[A-Za-z]+\s+)*-O+\b|\bPYTHONOPTIMIZE\s*[=:]")
URL = re.compile(r"\b[a-z][a-z0-9+.-]*://", re.IGNORECASE)
INDEX_URL_RULE = "--no-emit-" + "index-url"
"""The option that keeps addresses out of the lock is the one place where the word may stand."""


@dataclass(frozen=True, slots=True)
class File:
    """One tracked file."""

    path: str
    data: bytes

    @property
    def text(self) -> str | None:
        """Return the content, None where it is no text."""
        if b"\0" in self.data:
            return None
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError:
            return None


@cache
def tracked() -> tuple[File, ...]:
    """Return every file that git tracks or would track; without git, every file that is not made by tools."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        names = [name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [
            path.relative_to(ROOT).as_posix()
            for path in ROOT.rglob("*")
            if path.is_file() and not _made_by_tools(path.relative_to(ROOT))
        ]
    return tuple(File(name, (ROOT / name).read_bytes()) for name in sorted(names) if (ROOT / name).is_file())


def _made_by_tools(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" or part in SKIPPED_FOLDERS for part in path.parts[:-1])


def python_files(files: Iterable[File], *prefixes: str) -> Iterator[tuple[File, ast.Module]]:
    """Yield the Python modules under ``prefixes`` with their syntax trees."""
    for file in files:
        if file.path.endswith((".py", ".pyi")) and file.path.startswith(prefixes) and file.text is not None:
            yield file, _parsed(file)


@cache
def _parsed(file: File) -> ast.Module:
    return ast.parse(file.data)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


# ------------------------------------------------------------------------------------------------ rules


def docstring_violations(files: Iterable[File]) -> list[str]:
    """Return modules whose first word does not say what they own."""
    found = []
    for file, tree in python_files(files, *SOURCES):
        docstring = ast.get_docstring(tree) or ""
        first = docstring.split()[0] if docstring.split() else ""
        is_package_root = file.path.count("/") == 2 and file.path.endswith("/__init__.py")
        if first not in ("Own", "Owns") and not (is_package_root and docstring):
            found.append(f"{file.path}: the module's docstring begins with {first!r}, not with 'Owns'")
    return found


def long_functions(files: Iterable[File]) -> list[str]:
    """Return functions longer than the bound, docstring and signature included."""
    found = []
    for file, tree in python_files(files, *SOURCES, "tests/", "native/"):
        for node in functions(tree):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                found.append(
                    f"{file.path}:{node.lineno}: {node.name} has {lines} lines, the bound is {FUNCTION_LINES_MAX}"
                )
    return found


def long_modules(files: Iterable[File]) -> list[str]:
    """Return modules longer than the bound; tests are tables at times and may be longer."""
    found = []
    for file, _ in python_files(files, *SOURCES, "native/"):
        lines = len((file.text or "").splitlines())
        if lines > MODULE_LINES_MAX:
            found.append(f"{file.path}: {lines} lines, the bound is {MODULE_LINES_MAX}")
    return found


def silent_tests(files: Iterable[File]) -> list[str]:
    """Return test functions that do not say in a sentence what they show."""
    found = []
    for file, tree in python_files(files, "tests/", "native/"):
        if not file.path.rsplit("/", 1)[-1].startswith("test_"):
            continue
        found += [
            f"{file.path}:{node.lineno}: {node.name} has no docstring"
            for node in functions(tree)
            if node.name.startswith("test_") and not (ast.get_docstring(node) or "").strip()
        ]
    return found


def swallowed_exceptions(files: Iterable[File]) -> list[str]:
    """Return handlers of everything that do nothing."""
    found = []
    for file, tree in python_files(files, *SOURCES, "tests/", "native/"):
        found += [
            f"{file.path}:{node.lineno}: an exception of any kind is dropped without a word"
            for node in ast.walk(tree)
            if isinstance(node, ast.ExceptHandler) and _catches_all(node) and _does_nothing(node.body)
        ]
    return found


def _catches_all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )


def _does_nothing(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(line, ast.Pass | ast.Continue)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for line in body
    )


def lines_with(pattern: re.Pattern[str], files: Iterable[File], *, why: str, allowed: str = "") -> list[str]:
    """Return the places where ``pattern`` stands, but for lines that hold ``allowed``."""
    found = []
    for file in files:
        for number, line in enumerate((file.text or "").splitlines(), start=1):
            if pattern.search(line) and not (allowed and allowed in line):
                found.append(f"{file.path}:{number}: {why}: {line.strip()[:120]}")
    return found


def large_files(files: Iterable[File]) -> list[str]:
    """Return files beyond the bound; large data belong elsewhere."""
    return [f"{file.path}: {len(file.data):,} bytes" for file in files if len(file.data) > FILE_BYTES_MAX]


def lock_violations(file: File) -> list[str]:
    """Return requirements without a pinned version or a hash, and addresses."""
    found = lines_with(URL, [file], why="an address")
    for block in re.split(r"\n(?=[A-Za-z0-9])", "\n" + (file.text or "")):
        requirement = block.strip().split("\n")[0]
        if not requirement or requirement.startswith(("#", "-")):
            continue
        if "==" not in requirement:
            found.append(f"{file.path}: {requirement} is not pinned with ==")
        if "--hash=sha256:" not in block:
            found.append(f"{file.path}: {requirement} has no hash")
    return found


def decision_record_violations(files: Iterable[File]) -> list[str]:
    """Return decision records without a number of their own or without a status."""
    found = []
    numbers: dict[str, str] = {}
    for file in files:
        name = file.path.rsplit("/", 1)[-1]
        if not file.path.startswith("docs/adr/") or not name.endswith(".md") or name in ("README.md", "index.md"):
            continue
        match = re.match(r"(\d{4})-", name)
        if match is None:
            found.append(f"{file.path}: the name does not begin with four digits and a dash")
            continue
        if match[1] in numbers:
            found.append(f"{file.path}: number {match[1]} is taken by {numbers[match[1]]}")
        numbers[match[1]] = file.path
        if not re.search(r"^\W*status\b", file.text or "", re.IGNORECASE | re.MULTILINE):
            found.append(f"{file.path}: no Status")
    return found


def make_violations(text: str) -> list[str]:
    """Return targets that the Makefile lacks, or that `make help` does not explain."""
    explained = frozenset(re.findall(r"^([a-z-]+):[^=\n].*?## \S|^([a-z-]+): ## \S", text, re.MULTILINE))
    names = frozenset(name for pair in explained for name in pair if name)
    return [f"Makefile: target {name!r} is missing or has no help text" for name in MAKE_TARGETS if name not in names]


def untested_modules(files: tuple[File, ...]) -> list[str]:
    """Return modules of the pure packages that no test names.

    A module counts as tested if a test imports it, imports a public name that it defines, or has its name.
    """
    tests = [file for file in files if file.path.startswith("tests/") and file.path.endswith(".py")]
    words = frozenset(word for file in tests for word in re.findall(r"\w+", file.text or ""))
    stems = " ".join(file.path.rsplit("/", 1)[-1] for file in tests)
    found = []
    for package in TESTED_PACKAGES:
        for file, tree in python_files(files, f"libs/walstreet/{package}/"):
            module = file.path.rsplit("/", 1)[-1].removesuffix(".py")
            if module == "__init__" or module in words or f"{module}.py" in stems:
                continue
            public = [
                node.name
                for node in tree.body
                if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
            ]
            if not any(name in words for name in public):
                found.append(f"{file.path}: no test imports it or anything public in it")
    return found


# ------------------------------------------------------------------------------------------------ the repository


def report(violations: list[str]) -> None:
    """Fail with every violation on a line of its own."""
    assert not violations, f"{len(violations)} violations:\n" + "\n".join(violations)


def named(path: str) -> File:
    """Return one file of the repository."""
    assert (ROOT / path).is_file(), f"{path} is missing"
    return File(path, (ROOT / path).read_bytes())


def test_there_is_something_to_check() -> None:
    """An empty list of files would make every rule hold."""
    paths = [file.path for file in tracked()]
    assert "pyproject.toml" in paths
    assert sum(path.startswith(SOURCES) and path.endswith(".py") for path in paths) > 100


def test_modules_say_what_they_own() -> None:
    """The first word of a module's docstring is Own or Owns."""
    report(docstring_violations(tracked()))


def test_functions_are_short() -> None:
    """No function is longer than a screen."""
    report(long_functions(tracked()))


def test_modules_are_short() -> None:
    """No module is longer than the bound."""
    report(long_modules(tracked()))


def test_tests_say_what_they_show() -> None:
    """Every test function has a docstring."""
    report(silent_tests(tracked()))


def test_no_exception_is_swallowed() -> None:
    """Nothing catches everything and does nothing."""
    report(swallowed_exceptions(tracked()))


def test_no_leftovers() -> None:
    """What is not done is an issue or not there, never a note in the code."""
    report(lines_with(LEFTOVER, tracked(), why="a leftover"))


def test_no_machine_paths() -> None:
    """No path of the machine that something was written on."""
    report(lines_with(MACHINE_PATH, tracked(), why="a path of one machine"))


def test_no_registry_addresses() -> None:
    """Where packages come from is the user's choice."""
    report(lines_with(REGISTRY, tracked(), why="an address of a registry", allowed=INDEX_URL_RULE))


def test_assertions_stay_on() -> None:
    """Nothing runs Python without its assertions."""
    own = Path(__file__).relative_to(ROOT).as_posix()
    files = [file for file in tracked() if file.path != own and not file.path.endswith(".md")]
    report(lines_with(NO_ASSERTIONS, files, why="assertions are off"))


def test_no_large_files() -> None:
    """No tracked file is above a mebibyte."""
    report(large_files(tracked()))


@pytest.mark.parametrize("path", ["requirements.lock", "requirements-ib-async.lock"])
def test_locks_are_hashed_and_without_addresses(path: str) -> None:
    """Every locked requirement is pinned and has hashes."""
    report(lock_violations(named(path)))


def test_decision_records_are_numbered_and_have_a_status() -> None:
    """Every ADR has a number of its own and says whether it is accepted."""
    files = tracked()
    assert any(file.path.startswith("docs/adr/") for file in files), "docs/adr is missing"
    report(decision_record_violations(files))


def test_changelog_has_a_place_for_what_comes_next() -> None:
    """CHANGELOG.md has an Unreleased section."""
    assert re.search(r"^#+.*\bUnreleased\b", named("CHANGELOG.md").text or "", re.MULTILINE)


def test_make_explains_its_targets() -> None:
    """Every target that the documentation promises exists, with a help text."""
    report(make_violations(named("Makefile").text or ""))


def test_readme_begins_with_the_commands() -> None:
    """A reader finds how to run it and how to test it without scrolling."""
    head = "\n".join((named("README.md").text or "").splitlines()[:README_LINES])
    missing = [
        f"README.md: {text!r} is not in the first {README_LINES} lines" for text in README_COMMANDS if text not in head
    ]
    report(missing)


def test_pure_modules_have_tests() -> None:
    """Every module of domain, features and kernels is named by a test."""
    report(untested_modules(tracked()))


# ------------------------------------------------------------------------------------------------ the rules themselves


def source(text: str, path: str = "libs/walstreet/domain/sample.py") -> list[File]:
    """Return one file with ``text``."""
    return [File(path, text.encode())]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('"""Owns it."""\n', 0),
        ('"""Own it."""\n', 0),
        ('"""Helpers."""\n', 1),
        ("x = 1\n", 1),
        ('"""Ownership."""\n', 1),
    ],
)
def test_rule_docstring(text: str, count: int) -> None:
    """Only the word itself counts."""
    assert len(docstring_violations(source(text))) == count


def test_rule_length() -> None:
    """The bound itself passes, one line more does not."""
    fits = "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    assert long_functions(source(fits)) == []
    assert len(long_functions(source(fits + "    y = 2\n"))) == 1
    assert long_modules(source("x = 1\n" * MODULE_LINES_MAX)) == []
    assert len(long_modules(source("x = 1\n" * (MODULE_LINES_MAX + 1)))) == 1


def test_rule_silent_tests() -> None:
    """Methods and asynchronous tests count too; helpers need nothing."""
    text = "class TestIt:\n    async def test_a(self):\n        pass\n\ndef helper():\n    pass\n"
    assert len(silent_tests(source(text, "tests/unit/test_sample.py"))) == 1


@pytest.mark.parametrize(
    ("handler", "count"),
    [
        ("except Exception:\n    pass\n", 1),
        ("except:\n    pass\n", 1),
        ("except (ValueError, BaseException):\n    ...\n", 1),
        ("except ValueError:\n    pass\n", 0),
        ("except Exception:\n    x = 2\n", 0),
    ],
)
def test_rule_swallowed_exceptions(handler: str, count: int) -> None:
    """A named exception may be dropped on purpose, every exception may not."""
    assert len(swallowed_exceptions(source(f"try:\n    x = 1\n{handler}"))) == count


@pytest.mark.parametrize(
    ("pattern", "bad", "good"),
    [
        (LEFTOVER, "# TO" + "DO later", "# to do what was asked"),
        (MACHINE_PATH, "open('/ho" + "me/me/x')", "see docs/work/here and ~/ho" + "me/x"),
        (MACHINE_PATH, "cd /wo" + "rk/x", "https://host.example/wo" + "rk/x"),
        (REGISTRY, "https://pypi" + ".org/simple", "the package index"),
        (NO_ASSERTIONS, "python3 -O" + " run.py", "python -m run -o file"),
        (NO_ASSERTIONS, "PYTHONOPTIMIZE" + "=1", "python -m optimize"),
    ],
)
def test_rule_patterns(pattern: re.Pattern[str], bad: str, good: str) -> None:
    """Each pattern finds what it is for and lets its neighbours be."""
    assert len(lines_with(pattern, source(bad), why="x")) == 1
    assert lines_with(pattern, source(good), why="x") == []


def test_rule_lock() -> None:
    """A missing hash, a loose version and an address are each found."""
    good = "a==1.0 \\\n    --hash=sha256:00\nb==2.0 ; x \\\n    --hash=sha256:11\n"
    assert lock_violations(File("r.lock", good.encode())) == []
    assert len(lock_violations(File("r.lock", b"a==1.0\nb==2 \\\n    --hash=sha256:11\n"))) == 1
    assert len(lock_violations(File("r.lock", b"a>=1.0 \\\n    --hash=sha256:00\n"))) == 1
    assert len(lock_violations(File("r.lock", b"a @ https://x/a.whl \\\n    --hash=sha256:00\n"))) == 2


def test_rule_decision_records() -> None:
    """A number that is used twice, a missing status and a missing number are each found."""
    texts = {
        "0001-a.md": "# A\n\nStatus: accepted\n",
        "0001-b.md": "# B\n\n## Status\n",
        "0002-c.md": "# C\n",
        "d.md": "Status",
    }
    files = [File(f"docs/adr/{name}", text.encode()) for name, text in texts.items()]
    found = decision_record_violations(files)
    assert len(found) == 3
    assert "taken by" in found[0]
    assert "no Status" in found[1]


def test_rule_make() -> None:
    """A target without help text counts as missing."""
    lines = [f"{name}: setup ## Do it" for name in MAKE_TARGETS if name not in ("bench", "lint")]
    assert make_violations("\n".join([*lines, "lint: ## Lint", "bench: setup"])) == [
        "Makefile: target 'bench' is missing or has no help text"
    ]


def test_rule_untested_modules() -> None:
    """An import of the module or of what it defines counts, silence does not."""
    module = File("libs/walstreet/domain/sample.py", b'"""Owns."""\ndef compute():\n    pass\n')
    silent = File("tests/unit/test_other.py", b"x = 1\n")
    assert len(untested_modules((module, silent))) == 1
    assert untested_modules((module, File("tests/unit/test_other.py", b"from a import compute\n"))) == []
    assert untested_modules((module, File("tests/unit/domain/test_sample.py", b""))) == []
