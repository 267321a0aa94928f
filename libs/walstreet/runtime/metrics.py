"""Owns the metrics that every service has; names follow Prometheus conventions, units stand last."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from walstreet.runtime.state_metrics import StateMetrics

LATENCY_BUCKETS_S = (
    0.0005,
    0.001,
    0.002,
    0.004,
    0.007,
    0.01,
    0.015,
    0.025,
    0.05,
    0.1,
    0.25,
    0.35,
    0.7,
    1.0,
    2.0,
    5.0,
)


class ServiceMetrics:
    """Counters of one service process in a registry of their own."""

    def __init__(self, service: str) -> None:
        """Register the metrics under the label ``service``."""
        self.registry = CollectorRegistry()
        labels = ("service",)
        make = self.registry
        self.events_in = Counter("walstreet_events_in", "TAPE inputs processed", (*labels, "type"), registry=make)
        self.events_out = Counter("walstreet_events_out", "Events appended", (*labels, "type"), registry=make)
        self.dead_letters = Counter(
            "walstreet_dead_letters", "Messages that could not be handled", (*labels, "reason"), registry=make
        )
        self.gaps = Counter("walstreet_tape_gaps", "Gaps found and filled from the store", labels, registry=make)
        self.chain_faults = Counter("walstreet_chain_faults", "Breaks of a hash chain", labels, registry=make)
        self.append_seconds = Histogram(
            "walstreet_append_seconds",
            "From append to fsynced acknowledgement",
            labels,
            registry=make,
            buckets=LATENCY_BUCKETS_S,
        )
        self.process_seconds = Histogram(
            "walstreet_process_seconds",
            "Deciding and appending one input",
            labels,
            registry=make,
            buckets=LATENCY_BUCKETS_S,
        )
        self.hop_seconds = Histogram(
            "walstreet_hop_seconds",
            "From the producer's append to the start of processing here",
            labels,
            registry=make,
            buckets=LATENCY_BUCKETS_S,
        )
        self.tape_position = Gauge("walstreet_tape_position", "Next stream sequence to read", labels, registry=make)
        self.kernels = Gauge(
            "walstreet_kernels_native",
            "1 when the native kernels are loaded, 0 for the reference",
            labels,
            registry=make,
        )
        self.emergency = Gauge(
            "walstreet_emergency", "1 from the beginning of an emergency until a person resumes", labels, registry=make
        )
        self.emergency_positions = Gauge(
            "walstreet_emergency_positions", "Positions that an emergency has not closed yet", labels, registry=make
        )
        self.bar_to_decision_seconds = Histogram(
            "walstreet_bar_to_decision_seconds",
            "From the end of a bar to the durable decision, where bars follow the wall clock",
            labels,
            registry=make,
            buckets=LATENCY_BUCKETS_S,
        )
        self.state = StateMetrics(make, service)
        self.service = service
