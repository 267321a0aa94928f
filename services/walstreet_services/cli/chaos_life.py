"""Owns one service under repeated crashes: a parent that has imported everything forks each life of it anew.

A life is a whole process of the unmodified service; only its interpreter has started already, which is most of what
a restart costs. The parent looks like the service to its supervisor: it passes signals on and ends as the last life.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from walstreet.adapters.clock import WallClock
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_SIGNAL_BASE
from walstreet.runtime.serve import main as serve
from walstreet_events import Service

CRASH_SIGNALS = (signal.SIGKILL, signal.SIGALRM)
PRELOADED = ("walstreet.adapters.lightgbm_models", "walstreet.adapters.onnx_models", "ib_insync")
"""What services import late, or by name."""
TOLD = (signal.SIGTERM, signal.SIGINT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run lives of one service until one ends by itself, or ``--patience`` is over."""
    parser = argparse.ArgumentParser(prog="walstreet chaos life")
    parser.add_argument("service", choices=[service.value for service in Service])
    parser.add_argument("--patience", type=int, required=True, help="lives that may be killed")
    parser.add_argument("--config", required=True)
    options = parser.parse_args(argv)
    service = Service(options.service)
    for name in PRELOADED:
        importlib.import_module(name)
    wire = importlib.import_module(f"walstreet_services.{service.value}.__main__").wire
    return _Lives(service, wire, options.config).run(options.patience)


class _Lives:
    """Forks one life after the other."""

    def __init__(self, service: Service, wire: Callable[[Any], Any], config: str) -> None:
        self._service = service
        self._wire = wire
        self._config = config
        self._child = 0
        self._told = False

    def run(self, patience: int) -> int:
        """Return the code of the life that ended by itself, or of the one that was one too many."""
        for number in TOLD:
            signal.signal(number, self._tell)
        for _ in range(patience + 1):
            status = self._one_life()
            if not os.WIFSIGNALED(status):
                return os.waitstatus_to_exitcode(status)
            if os.WTERMSIG(status) not in CRASH_SIGNALS or self._told:
                return EXIT_SIGNAL_BASE + os.WTERMSIG(status)
        sys.stderr.write(f"{self._service.value} was killed more than {patience} times\n")
        return EXIT_BROKEN

    def _one_life(self) -> int:
        self._child = os.fork()
        if self._child == 0:
            self._live()
        if self._told:
            os.kill(self._child, signal.SIGTERM)
        return os.waitpid(self._child, 0)[1]

    def _live(self) -> None:
        """Be the service; never returns."""
        for number in TOLD:
            signal.signal(number, signal.SIG_DFL)
        code = serve(self._service, self._wire, wall=WallClock(), argv=["--config", self._config])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def _tell(self, number: int, frame: object) -> None:
        del frame
        self._told = True
        if self._child:
            os.kill(self._child, number)


if __name__ == "__main__":
    sys.exit(main())
