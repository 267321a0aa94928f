"""Owns the wiring of the market-data gateway."""

from __future__ import annotations

import sys

from walstreet.adapters.clock import WallClock
from walstreet.adapters.ibkr import BrokerError, ConnectOptions, IbkrBroker
from walstreet.adapters.nats import TickPublisher
from walstreet.adapters.nats.log import NatsLog
from walstreet.ports import Broker, Clock, Observer
from walstreet.runtime.cores import gateway_core
from walstreet.runtime.serve import Wiring, main
from walstreet.runtime.settings import Settings
from walstreet_events import Service
from walstreet_services.gateway.shell import GatewayShell


def wire(settings: Settings) -> Wiring:
    """Return the service's parts."""
    wall = WallClock()
    log = NatsLog(
        url=settings.log.url,
        monitor_url=settings.log.monitor_url,
        credentials_dir=settings.log.credentials_dir,
        service=Service.GATEWAY,
        wall=wall,
        lockstep=settings.runtime.clock == "turns",
    )

    def make_broker(observer: Observer, clock: Clock) -> Broker:
        options = ConnectOptions(
            host=settings.broker.host,
            port=settings.broker.port,
            client_id=settings.broker.gateway_client_id,
            account=settings.broker.account,
            library=settings.broker.library,
            market_data_type=settings.broker.market_data_type,
            request_timeout_s=settings.broker.request_timeout_s,
            paced=settings.broker.paced,
            governor=settings.broker.governor,
            orders=False,
            borrow=settings.gateway.borrow_s > 0,
        )
        return IbkrBroker(options, clock=clock, observer=observer)

    shell = GatewayShell(
        settings=settings,
        make_broker=make_broker,
        errors=(BrokerError,),
        ticks=TickPublisher(log.connection),
        wall=wall,
    )
    return Wiring(core=gateway_core(settings), log=log, shell=shell)


if __name__ == "__main__":
    sys.exit(main(Service.GATEWAY, wire, wall=WallClock()))
