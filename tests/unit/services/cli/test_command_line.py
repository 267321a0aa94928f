"""The command line names every command at once and imports only the one that is called."""

from __future__ import annotations

import subprocess
import sys

import pytest

from walstreet.runtime.errors import EXIT_USAGE
from walstreet_services.cli.__main__ import COMMANDS, PROGRAMS, main, parser


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`walstreet NAME --help` ends well and names the command."""
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"walstreet {name}" in capsys.readouterr().out


def test_help_names_all_commands_and_programs() -> None:
    """`walstreet --help` lists each of them with its sentence."""
    text = parser().format_help()
    for name in (*COMMANDS, *PROGRAMS, "service"):
        assert name in text


def test_an_unknown_command_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names what is wrong and what there is."""
    with pytest.raises(SystemExit) as stopped:
        main(["panik"])
    assert stopped.value.code == EXIT_USAGE
    message = capsys.readouterr().err
    assert "panik" in message
    assert "backtest" in message


def test_no_command_waits_for_the_libraries_of_another() -> None:
    """Neither the list of commands nor looking at a TAPE imports a model library or the plots."""
    code = (
        "import sys; from walstreet_services.cli.__main__ import parser; parser('tape'); "
        "print(*sorted({'lightgbm', 'onnxruntime', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not ended.stdout.strip()
