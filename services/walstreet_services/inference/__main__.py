"""Owns the wiring of the inference service."""

from __future__ import annotations

import sys
from pathlib import Path

from walstreet.adapters.clock import WallClock
from walstreet.adapters.model_zoo import load_zoo
from walstreet.adapters.nats.log import NatsLog
from walstreet.domain.inference import InferenceCore
from walstreet.domain.model_manifest import ManifestError, ModelRefusedError
from walstreet.features import FEATURES, schema_hash
from walstreet.runtime.errors import UsageError
from walstreet.runtime.serve import Wiring, main
from walstreet.runtime.settings import Settings
from walstreet_events import Service


def wire(settings: Settings) -> Wiring:
    """Return the service's parts.

    Raises:
        UsageError: A model or its manifest is unusable; the text names model, file, fault and remedy.
    """
    try:
        zoo = load_zoo(
            Path(settings.inference.folder),
            schema_hash=schema_hash(FEATURES, settings.features, bar_ns=settings.gateway.bar_ns),
            feature_count=len(FEATURES),
        )
    except (ManifestError, ModelRefusedError) as error:
        raise UsageError(str(error)) from error
    log = NatsLog(
        url=settings.log.url,
        monitor_url=settings.log.monitor_url,
        credentials_dir=settings.log.credentials_dir,
        service=Service.INFERENCE,
        wall=WallClock(),
        lockstep=settings.runtime.clock == "turns",
    )
    return Wiring(core=InferenceCore(zoo, settings.inference.parameters), log=log)


if __name__ == "__main__":
    sys.exit(main(Service.INFERENCE, wire, wall=WallClock()))
