"""Owns the recorded configuration of a session: complete settings, so that a replay needs no other file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from walstreet.adapters.model_zoo import read_manifest
from walstreet.domain.conformal_history import HistoryError, decode_history, models_digest
from walstreet.domain.model_manifest import ManifestError
from walstreet.runtime.cores import barriers_of, calibrations_of
from walstreet.runtime.errors import UsageError
from walstreet.runtime.settings import HistorySettings, Settings, load_settings


def with_models(settings: Settings) -> Settings:
    """Return the settings with an absolute model folder and recorded calibrations.

    Raises:
        UsageError: The model folder has no usable manifest.
    """
    folder = Path(settings.inference.folder).resolve()
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        raise UsageError(str(error)) from error
    inference = msgspec.structs.replace(settings.inference, folder=str(folder))
    calibrations = settings.calibrations or calibrations_of(manifest)
    barriers = settings.barriers or barriers_of(manifest)
    return msgspec.structs.replace(settings, inference=inference, calibrations=calibrations, barriers=barriers)


HISTORY_FILE = "conformal-history.bin"
"""Name of the history in a session's state folder."""
OUTCOMES_FOLDER = "outcomes"
"""Beside the model manifest: histories, one file for each market."""


def with_history(settings: Settings, state: Path) -> Settings:
    """Return the settings with the conformal history of this market and these models, copied into ``state``.

    Without one the gate starts from nothing. A history of another market or of other models is passed over: it says
    nothing about this one.

    Raises:
        UsageError: A file among them cannot be read.
    """
    if settings.history.file or not settings.session.identity:
        return settings
    folder = Path(settings.inference.folder)
    models = models_digest((entry.file, entry.sha256) for entry in read_manifest(folder).models)
    for path in sorted((folder / OUTCOMES_FOLDER).glob("*.bin")):
        data = path.read_bytes()
        try:
            history = decode_history(data)
        except HistoryError as error:
            raise UsageError(f"{path}: {error}") from error
        if (history.market, history.models) == (settings.session.identity, models):
            copy = state / HISTORY_FILE
            copy.write_bytes(data)
            found = HistorySettings(file=str(copy.resolve()), sha256=hashlib.sha256(data).hexdigest())
            return msgspec.structs.replace(settings, history=found)
    return settings


def encode_settings(settings: Settings) -> bytes:
    """Return the settings as a YAML layer; the same settings give the same bytes."""
    return msgspec.yaml.encode(msgspec.to_builtins(settings, order="deterministic"))


def recorded_settings(state: str | None, config: Sequence[str]) -> Settings:
    """Return the settings of a session: those in its ``state`` folder, with the ``config`` files on top.

    Raises:
        UsageError: The folder has no recorded settings, or a file cannot be used.
    """
    files = [Path(name) for name in config]
    if state is not None:
        recorded = Path(state) / "session.yaml"
        if not recorded.is_file():
            raise UsageError(f"--state {state} has no session.yaml: the session was not made by `walstreet up`")
        files = [recorded, *files]
    # The recorded configuration is whole; today's environment must not change what yesterday decided.
    settings = load_settings(files, environment={})
    beside = Path(state) / HISTORY_FILE if state is not None else Path()
    if settings.history.file and not Path(settings.history.file).is_file() and beside.is_file():
        # The folder was moved, and its history with it; the recorded hash still decides.
        moved = msgspec.structs.replace(settings.history, file=str(beside.resolve()))
        settings = msgspec.structs.replace(settings, history=moved)
    return settings
