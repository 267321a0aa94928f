"""Owns what is going to go wrong in one session, drawn from a seed: which process, at which moment, how."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from walstreet.runtime.crash_points import POINTS, Crash
from walstreet_events.subjects import TURN_ORDER

SERVICES: tuple[str, ...] = tuple(service.value for service in TURN_ORDER)
PURE: tuple[str, ...] = ("features", "inference", "arbiter", "reconciler")
"""They decide from the log alone: whatever happens to them, the TAPE says the same in the end."""
RECOVERY = ("log_opened", "epoch_begun", "outside_connected", "replayed")
ORDERS = (
    *("place_begins", "place_ended", "cancel_begins", "cancel_ended"),
    *("margin_begins", "margin_ended", "snapshot_begins", "snapshot_ended"),
)
LATER = ("append_under_way", "place_ended", "cancel_ended")
"""Moments after which a message is on its way; the process dies a little later."""
LATER_S_MAX = 0.004
PASSAGES_MAX: Mapping[str, int] = {
    **dict.fromkeys(RECOVERY, 1),
    **dict.fromkeys(ORDERS, 2),
    "turn_begun": 6,
    "turn_ended": 6,
    "input_taken": 60,
    "decided": 8,
    "callback": 80,
    "observation_taken": 80,
}
PASSAGES_DEFAULT = 25
WHATS: Mapping[str, Sequence[str]] = {
    "gateway": ("bar_block.v1", "clock_tick.v1"),
    "features": ("feature_block.v1",),
    "inference": ("prediction_block.v1",),
    "arbiter": ("decision.v1", "intent_block.v1"),
    "execution": ("order_submitting.v1", "order_filled.v1", "order_updated.v1", "order_cancelling.v1"),
    "reconciler": ("recon_request.v1", "recon_report.v1"),
}
"""Of the moments around an append, half name one of these: what lies between a decision and its fill."""
OBSERVATIONS = ("ExecutionObserved", "OrderStatusObserved", "CommissionObserved")
"""Half of the moments around execution's callbacks are about one of these."""
AROUND_APPEND = ("append_begins", "append_under_way", "appended", "folded", "reacted")
LOG_SERVER = "nats-server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A sort of session."""

    name: str
    services: Sequence[str]
    lines: int
    """How many crashes are planned for each of them."""
    lockstep: bool = True
    signal: str = "SIGKILL"
    log_server: str = ""
    """What happens to the log server while a service stands frozen."""
    same_hashes: bool = False
    """Whether decisions, orders and fills must be those of the session that nothing disturbs."""


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(name="execution", services=("execution",), lines=60),
        Kind(name="pure", services=PURE, lines=18, same_hashes=True),
        Kind(name="gateway", services=("gateway",), lines=36),
        Kind(name="everybody", services=SERVICES, lines=10),
        Kind(name="short", services=SERVICES, lines=4),
        Kind(name="log-server", services=SERVICES, lines=2, signal="SIGSTOP", log_server="SIGKILL"),
        Kind(name="frozen-log", services=SERVICES, lines=2, signal="SIGSTOP", log_server="SIGSTOP"),
        Kind(name="frozen", services=SERVICES, lines=5, signal="SIGSTOP"),
        Kind(name="free-execution", services=("execution",), lines=20, lockstep=False),
        Kind(name="free-everybody", services=SERVICES, lines=3, lockstep=False),
    )
}
ROUND: tuple[str, ...] = (
    *("execution", "pure", "execution", "gateway", "everybody", "execution", "pure", "log-server"),
    *("free-execution", "execution", "frozen", "everybody", "pure", "free-everybody", "frozen-log", "execution"),
)
"""Which sessions follow each other until the count is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One session's misfortunes."""

    kind: Kind
    seed: int
    crashes: Mapping[str, Sequence[Crash]] = field(default_factory=dict)
    """By service."""


def make_plan(kind: Kind, seed: int) -> Plan:
    """Return the plan that ``kind`` and ``seed`` spell; the same ones spell the same plan."""
    draw = random.Random(f"{kind.name}:{seed}")
    return Plan(
        kind=kind,
        seed=seed,
        crashes={service: _lines(kind, service, draw) for service in kind.services},
    )


def points_of(kind: Kind, service: str) -> tuple[str, ...]:
    """Return the moments that ``service`` passes in a session of this kind."""
    left_out = set(() if service == "execution" else ORDERS)
    if not kind.lockstep:
        left_out |= {"turn_begun", "turn_ended"}
    if service not in ("execution", "gateway"):
        left_out |= {"callback", "observation_taken"}
    return tuple(point for point in POINTS if point not in left_out)


def _lines(kind: Kind, service: str, draw: random.Random) -> tuple[Crash, ...]:
    points = points_of(kind, service)
    # Every moment in turn, in an order of its own, before one comes again.
    bag: list[str] = []
    while len(bag) < kind.lines:
        more = list(points)
        draw.shuffle(more)
        bag += more
    return tuple(_line(kind, service, point, draw) for point in bag[: kind.lines])


def _line(kind: Kind, service: str, point: str, draw: random.Random) -> Crash:
    what = ""
    most = PASSAGES_MAX.get(point, PASSAGES_DEFAULT)
    if point in AROUND_APPEND and draw.random() < 0.5:
        what = draw.choice(WHATS[service])
        most = 3
    elif service == "execution" and point in ("callback", "observation_taken") and draw.random() < 0.5:
        what = draw.choice(OBSERVATIONS)
        most = 6
    later = point in LATER and kind.signal == "SIGKILL"
    return Crash(
        point=point,
        passage=draw.randint(1, most),
        what=what,
        signal=kind.signal,
        after_s=round(draw.uniform(1e-5, LATER_S_MAX), 6) if later and draw.random() < 0.8 else 0.0,
    )
