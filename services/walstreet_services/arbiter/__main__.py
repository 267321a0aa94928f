"""Owns the wiring of the arbiter service."""

from __future__ import annotations

import sys

from walstreet.adapters.clock import WallClock
from walstreet.adapters.nats.log import NatsLog
from walstreet.runtime.cores import arbiter_core
from walstreet.runtime.sealing import SealedLog, read_intent_keys
from walstreet.runtime.serve import Wiring, main
from walstreet.runtime.settings import Settings
from walstreet_events import Service
from walstreet_services.arbiter.shell import LatencyShell


def wire(settings: Settings) -> Wiring:
    """Return the service's parts."""
    log = NatsLog(
        url=settings.log.url,
        monitor_url=settings.log.monitor_url,
        credentials_dir=settings.log.credentials_dir,
        service=Service.ARBITER,
        wall=WallClock(),
        lockstep=settings.runtime.clock == "turns",
    )
    # Only where bars follow the wall clock does it say how late a decision is.
    shell = LatencyShell(WallClock()) if settings.runtime.clock == "wall" else None
    sealed = SealedLog(log, read_intent_keys(settings)[0])
    on_loop = shell.attach_metrics if shell is not None else None
    return Wiring(core=arbiter_core(settings), log=sealed, shell=shell, on_loop=on_loop)


if __name__ == "__main__":
    sys.exit(main(Service.ARBITER, wire, wall=WallClock()))
