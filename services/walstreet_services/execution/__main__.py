"""Owns the wiring of execution, the only service that may send orders."""

from __future__ import annotations

import sys
from pathlib import Path

from walstreet.adapters.clock import WallClock
from walstreet.adapters.ibkr import BrokerError, ConnectOptions, IbkrBroker
from walstreet.adapters.nats import LogUnreachableError, TickSubscriber
from walstreet.adapters.nats.log import NatsLog
from walstreet.adapters.spool import SpoolFile
from walstreet.domain.execution_state import ExecutionState
from walstreet.ports import Broker, Clock, Observer
from walstreet.runtime.alarm import Alarm, PanicFlag
from walstreet.runtime.cores import execution_core
from walstreet.runtime.emergency_log import EmergencyLog, Patience
from walstreet.runtime.loop import ServiceLoop
from walstreet.runtime.metrics import ServiceMetrics
from walstreet.runtime.serve import Wiring, main
from walstreet.runtime.settings import Settings
from walstreet_events import Service
from walstreet_services.execution.emergency import EmergencyDesk
from walstreet_services.execution.readings import readings
from walstreet_services.execution.shell import ExecutionShell


def wire(settings: Settings) -> Wiring:
    """Return the service's parts."""
    wall = WallClock()
    inner = NatsLog(
        url=settings.log.url,
        monitor_url=settings.log.monitor_url,
        credentials_dir=settings.log.credentials_dir,
        service=Service.EXECUTION,
        wall=wall,
        lockstep=settings.runtime.clock == "turns",
    )
    alarm = Alarm(PanicFlag(Path(settings.emergency.panic_flag)))
    spool = SpoolFile(Path(settings.emergency.spool))
    log = EmergencyLog(
        inner,
        spool=spool,
        alarm=alarm,
        reachable=inner.reachable,
        errors=(LogUnreachableError,),
        patience=Patience(grace_s=settings.emergency.log_grace_s, retry_s=settings.emergency.log_retry_s),
    )

    def make_broker(observer: Observer, clock: Clock) -> Broker:
        options = ConnectOptions(
            host=settings.broker.host,
            port=settings.broker.port,
            client_id=settings.broker.execution_client_id,
            account=settings.broker.account,
            library=settings.broker.library,
            request_timeout_s=settings.broker.request_timeout_s,
            paced=settings.broker.paced,
            governor=settings.broker.governor,
            fractional=settings.execution.fractional,
            broker_bars=False,
        )
        return IbkrBroker(options, clock=clock, observer=observer)

    shell = ExecutionShell(
        settings=settings,
        make_broker=make_broker,
        errors=(BrokerError,),
        make_ticks=lambda on_tick: TickSubscriber(inner.connection, on_tick),
        make_desk=lambda broker: EmergencyDesk(
            alarm=alarm,
            spool=spool,
            log=log,
            broker=broker,
            errors=(BrokerError,),
            cancel_everything=settings.execution.flatten.cancel_everything,
        ),
        wall=wall,
    )

    def on_loop(loop: ServiceLoop[ExecutionState], metrics: ServiceMetrics) -> None:
        shell.desk.attach(loop, metrics)
        metrics.state.watch(lambda: readings(loop.state, settings.execution))

    # The guards look at the latest quote, which is volatile: a decision half written before a crash is not repeated.
    return Wiring(core=execution_core(settings), log=log, shell=shell, decides_from_log=False, on_loop=on_loop)


if __name__ == "__main__":
    sys.exit(main(Service.EXECUTION, wire, wall=WallClock()))
