"""Owns the recorded configuration of a session: complete settings, so that a replay needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from walstreet.adapters.model_zoo import read_manifest
from walstreet.domain.model_manifest import ManifestError
from walstreet.runtime.cores import barriers_of, calibrations_of
from walstreet.runtime.errors import UsageError
from walstreet.runtime.settings import Settings, load_settings


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
    return load_settings(files, environment={})
