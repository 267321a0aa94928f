"""Tests of metrics that are read from the state when somebody asks."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from walstreet.runtime.state_metrics import Reading, StateMetrics, of_service


def test_values_are_those_of_the_moment_of_asking() -> None:
    """Two readings of one metric share its help; a change between two questions is seen."""
    registry = CollectorRegistry()
    state = {"live": 1.0}
    metrics = StateMetrics(registry, "execution")
    assert generate_latest(registry) == b""
    metrics.watch(
        lambda: [
            Reading(name="walstreet_mode", help="which", value=state.get(mode, 0.0), labels=(("mode", mode),))
            for mode in ("live", "observe")
        ]
    )
    metrics.watch(lambda: of_service(ready=True, log_connected=False))
    text = generate_latest(registry).decode()
    assert text.count("# HELP walstreet_mode which") == 1
    assert 'walstreet_mode{mode="live",service="execution"} 1.0' in text
    assert 'walstreet_ready{service="execution"} 1.0' in text
    assert 'walstreet_log_connected{service="execution"} 0.0' in text
    state.clear()
    assert 'walstreet_mode{mode="live",service="execution"} 0.0' in generate_latest(registry).decode()
