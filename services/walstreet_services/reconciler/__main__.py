"""Owns the wiring of the reconciler service."""

from __future__ import annotations

import sys

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats.log import NatsLog
from walstreet.runtime.cores import reconciler_core
from walstreet.runtime.serve import Wiring, main
from walstreet.runtime.settings import Settings
from walstreet_events import Service
from walstreet_services.reconciler.shell import ReconcilerShell


def wire(settings: Settings) -> Wiring:
    """Return the service's parts."""
    log = NatsLog(
        url=settings.log.url,
        monitor_url=settings.log.monitor_url,
        credentials_dir=settings.log.credentials_dir,
        service=Service.RECONCILER,
        wall=WallClock(),
        lockstep=settings.runtime.clock == "turns",
    )
    return Wiring(core=reconciler_core(settings), log=log, shell=ReconcilerShell())


if __name__ == "__main__":
    sys.exit(main(Service.RECONCILER, wire, wall=WallClock()))
