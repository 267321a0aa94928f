"""Owns the two keys of live trading: two people within a bounded time, and a gateway that is the one it should be.

Paper trading and the simulator need none, but only with an account that is a paper account by its name. Armed is armed
for one session, until somebody disarms, and never through an emergency.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from walstreet.domain.bounds import require_between
from walstreet.domain.observations import ProbeObserved
from walstreet_events import (
    NANOS_PER_SECOND,
    AnyEvent,
    EventId,
    FlattenPhase,
    FlattenState,
    GatewayProbed,
    OperatorCommand,
    SessionPhase,
    derive_id,
    tag_of,
)

Trading = Literal["paper", "live"]
ARM = "arm"
DISARM = "disarm"
KEYS_NEEDED = 2
PAPER_PREFIX = "D"
"""Accounts of paper trading and demonstrations begin with it (DU, DF, DI); accounts with money do not."""
PAPER_PORTS = (4002, 7497)
"""The vendor's ports of paper trading; an own port proves nothing, one of these proves that it is not live."""


class ArmingParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What live trading asks for."""

    trading: Trading = "paper"
    """``live`` is the first key; the second is turned by two people with ``walstreet arm``."""
    window_s: float = 600.0
    """Session time between the two."""
    server_version_min: int = 100
    """Of the gateway's protocol."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        require_between("execution.arming", "window_s", self.window_s, 1.0, 86_400.0)
        require_between("execution.arming", "server_version_min", self.server_version_min, 1, 10_000)


@dataclass(slots=True, kw_only=True)
class ArmingMemory:
    """Who has turned a key, and whether trading is armed."""

    keys: dict[str, int] = field(default_factory=dict)
    """Person, in lower case, to the time of the newest ``arm``."""
    session_date: str = ""
    armed: bool = False
    account: str = ""
    """The one that was probed when trading was armed."""


def fold_arming(memory: ArmingMemory, event: AnyEvent) -> None:
    """Fold one fact."""
    match event:
        case OperatorCommand() if event.command == ARM:
            person = event.operator.strip().lower()
            if person and event.arguments.get("reason", "").strip():
                memory.keys[person] = event.ts_ns
        case GatewayProbed():
            memory.armed, memory.account = event.armed, event.account
        case OperatorCommand() if event.command == DISARM:
            _disarm(memory)
        case FlattenState() if event.phase is FlattenPhase.BEGAN:
            _disarm(memory)
        case SessionPhase() if event.session_date != memory.session_date:
            memory.session_date = event.session_date
            _disarm(memory)
        case _:
            pass


def probed(memory: ArmingMemory, fact: ProbeObserved, parameters: ArmingParameters) -> GatewayProbed:
    """Return the journaled result of a probe: what the gateway said, whose keys count, and whether that arms."""
    since_ns = fact.ts_ns - round(parameters.window_s * NANOS_PER_SECOND)
    keys = tuple(sorted(person for person, ts_ns in memory.keys.items() if ts_ns >= since_ns))
    fault = probe_fault(fact, parameters)
    missing = "" if len(keys) >= KEYS_NEEDED else f"{len(keys)} of {KEYS_NEEDED} people have armed"
    return GatewayProbed(
        id=derive_id(fact.asked, tag_of(GatewayProbed), 0),
        cause=EventId(fact.asked),
        ts_ns=fact.ts_ns,
        ok=not fault,
        armed=not fault and not missing,
        keys=keys,
        detail=fault or missing,
        account=fact.account,
        port=fact.port,
        server_version=fact.server_version,
        what_if=fact.what_if,
        broker_order_id=fact.broker_order_id,
    )


def probe_fault(fact: ProbeObserved, parameters: ArmingParameters) -> str:
    """Return the first thing that does not hold of a gateway that should be live, empty if all does."""
    for wrong, words in (
        (parameters.trading != "live", "execution.arming.trading is paper, which needs no arming"),
        (not fact.account, f"the gateway did not name its account ({fact.detail})"),
        (fact.account != fact.wanted_account, f"the account is {fact.account}, configured is {fact.wanted_account}"),
        (is_paper(fact.account), f"{fact.account} is a paper account"),
        (fact.port in PAPER_PORTS, f"{fact.port} is a port of paper trading"),
        (
            fact.server_version < parameters.server_version_min,
            f"the gateway speaks version {fact.server_version}, needed is {parameters.server_version_min}",
        ),
        (not fact.what_if, f"a question for margin was not answered with numbers ({fact.detail})"),
    ):
        if wrong:
            return words
    return ""


def is_paper(account: str) -> bool:
    """Return whether an account has no money in it, by its name."""
    return account.upper().startswith(PAPER_PREFIX)


def unarmed(memory: ArmingMemory, account: str, parameters: ArmingParameters) -> str:
    """Return why no intent may be sent, empty if one may; an account that is not known yet stops paper trading not."""
    if parameters.trading == "live":
        if not memory.armed:
            return "live trading is not armed: two people run `walstreet arm`"
        if account and account != memory.account:
            # The gateway came back with another login: what two people agreed to was the other account.
            return f"armed is {memory.account}, but the gateway's account is {account}; arm again"
        return ""
    if account and not is_paper(account):
        return f"{account} is no paper account, and execution.arming.trading is paper"
    return ""


def _disarm(memory: ArmingMemory) -> None:
    memory.keys, memory.armed, memory.account = {}, False, ""
