"""Owns metrics that are read from a service's state when somebody asks, so that they are true after every restart.

A counter says what happened in this life; whether an emergency is latched or an order unknown is a matter of the state
that was folded from the log. The reading runs in the thread of the health server and must only take single steps that
Python makes in one go, such as ``list(mapping)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

READY = "walstreet_ready"
LOG_CONNECTED = "walstreet_log_connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of one metric now."""

    name: str
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    """Besides ``service``; the same names for every reading of a metric."""


class StateMetrics(Collector):
    """Readings of one service in a registry."""

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        """Begin without readings."""
        self._service = service
        self._sources: list[Callable[[], Iterable[Reading]]] = []
        registry.register(self)

    def watch(self, source: Callable[[], Iterable[Reading]]) -> None:
        """Ask ``source``, too, from now on."""
        self._sources.append(source)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: what will be read is not known when the metrics are registered."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each metric with all its readings."""
        families: dict[str, GaugeMetricFamily] = {}
        for source in self._sources:
            for reading in source():
                family = families.get(reading.name)
                if family is None:
                    names = ["service", *(name for name, _ in reading.labels)]
                    family = families[reading.name] = GaugeMetricFamily(reading.name, reading.help, labels=names)
                family.add_metric([self._service, *(value for _, value in reading.labels)], reading.value)
        yield from families.values()


def of_service(*, ready: bool, log_connected: bool) -> tuple[Reading, ...]:
    """Return what every service tells of itself."""
    return (
        Reading(name=READY, help="1 when the service has replayed and works", value=ready),
        Reading(name=LOG_CONNECTED, help="1 while the connection to the log stands", value=log_connected),
    )
