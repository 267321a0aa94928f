"""Owns the canonical structured logs: one line per message, to the terminal and to rotating files."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

import structlog

from walstreet.runtime.errors import UsageError

FILE_BYTES_MAX = 16 << 20
FILES_KEPT = 5


def configure_logs(*, service: str, directory: str, level: str, terminal: bool) -> None:
    """Send logs of ``level`` and above to ``directory``/<service>.log as JSON lines, and to stderr if asked for.

    Raises:
        UsageError: There is no such level.
    """
    threshold = logging.getLevelNamesMapping().get(level.upper())
    if threshold is None:
        raise UsageError(f"runtime.log_level is {level!r}; it takes debug, info, warning, error or critical")
    handlers: list[logging.Handler] = []
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
        to_file = logging.handlers.RotatingFileHandler(
            Path(directory) / f"{service}.log", maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8"
        )
        to_file.setFormatter(
            structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared)
        )
        handlers.append(to_file)
    if terminal:
        to_terminal = logging.StreamHandler(sys.stderr)
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        to_terminal.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
        handlers.append(to_terminal)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(threshold)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        cache_logger_on_first_use=True,
    )
