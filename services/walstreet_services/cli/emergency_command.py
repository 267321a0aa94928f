"""Owns `walstreet panic`, `resume`, `mode`, `rearm`, `arm` and `disarm`: how a person stops, looks, and lets go on."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
from pathlib import Path
from typing import Any

import msgspec

from walstreet.adapters.nats import Connection, LogError
from walstreet.adapters.spool import SpoolFile
from walstreet.domain.flatten import FLAT_SO_FAR
from walstreet.runtime.errors import EXIT_BROKEN, EXIT_FALLBACK, EXIT_OK, EXIT_TIMEOUT, UsageError
from walstreet_events import AnyEvent, FlattenPhase, FlattenState, GatewayProbed, Mode, ModeState
from walstreet_services.cli.operator_desk import (
    Session,
    connected,
    first,
    following,
    newest_event,
    require_person,
    write,
)

ACKNOWLEDGE_S = 5.0
"""Wall time for execution to say that an emergency has begun; beyond it the flag is written, too."""
LOG_BOUND_S = 8.0
"""Wall time for the log to take the command; beyond it the flag is the way."""
SPOOL_POLL_S = 0.1
FLAG = "panic.flag"
SPOOL = "execution-spool.bin"
DEFAULT_STATE = Path("state")

assert LOG_BOUND_S > ACKNOWLEDGE_S


def add_panic(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `walstreet panic`."""
    _common(parser)
    _person(parser, reason="")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait until everything is flat (0: do not)")
    parser.add_argument("--flag", help="execution's flag file, for when the log is away (default: in the state folder)")
    parser.set_defaults(run=lambda options: asyncio.run(_panic(options)))


def add_resume(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `walstreet resume`."""
    _common(parser)
    _person(parser, reason=None)
    parser.add_argument("--flag", help="execution's flag file, which must be gone (default: in the state folder)")
    parser.add_argument("--not-flat", action="store_true", help="although positions or orders are left")
    parser.add_argument("--wait", type=float, default=10.0, help="seconds to wait for the new mode")
    parser.set_defaults(run=lambda options: asyncio.run(_resume(options)))


def add_mode(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `walstreet mode`."""
    parser.add_argument("mode", nargs="?", choices=[mode.value for mode in Mode], help="the best mode allowed")
    _common(parser)
    _person(parser, reason="")
    parser.add_argument("--flag", help="execution's flag file (default: in the state folder)")
    parser.add_argument("--wait", type=float, default=10.0, help="seconds to wait for the new mode")
    parser.set_defaults(run=lambda options: asyncio.run(_mode(options)))


def add_rearm(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `walstreet rearm`."""
    _common(parser)
    _person(parser, reason=None)
    parser.add_argument("--symbol", default="", help="with --side; neither for the whole account")
    parser.add_argument("--side", default="", choices=("buy", "sell"))
    parser.set_defaults(run=lambda options: asyncio.run(_rearm(options)))


def add_arm(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `walstreet arm`."""
    _common(parser)
    _person(parser, reason=None)
    parser.add_argument("--wait", type=float, default=30.0, help="seconds to wait for the probe of the gateway")
    parser.set_defaults(run=lambda options: asyncio.run(_arm(options)))


def add_disarm(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `walstreet disarm`."""
    _common(parser)
    _person(parser, reason=None)
    parser.set_defaults(run=lambda options: asyncio.run(_disarm(options)))


# ------------------------------------------------------------------------------------------------------- panic


async def _panic(options: argparse.Namespace) -> int:
    session = _session(options)
    operator = options.operator.strip() or getpass.getuser()
    report: dict[str, Any] = {"operator": operator, "reason": options.reason, "log": False, "flag": None}
    why = await _panic_by_log(options, session, operator, report)
    if why is None:
        return _told_panic(options, report)
    flag = _write_flag(options, session, operator)
    report |= {"flag": str(flag), "why": why}
    spool = SpoolFile((session.state or DEFAULT_STATE) / SPOOL)
    report["state"] = await _from_spool(spool, max(options.wait, ACKNOWLEDGE_S))
    return _told_panic(options, report)


async def _panic_by_log(
    options: argparse.Namespace, session: Session, operator: str, report: dict[str, Any]
) -> str | None:
    """Command the emergency through the log; return why that did not do, None when execution has acknowledged."""
    url = session.log_url()
    if url is None:
        return "no log server runs on the state folder"
    try:
        bound_s = LOG_BOUND_S + options.wait
        async with asyncio.timeout(bound_s), connected(session, url) as connection, following(connection) as inbox:
            async with asyncio.timeout(LOG_BOUND_S):
                seq, event = await write(connection, "panic", {"reason": options.reason}, operator)
                report |= {"log": True, "seq": seq}
                told = await first(
                    inbox, lambda item: isinstance(item, FlattenState) and item.cause == event.id, ACKNOWLEDGE_S
                )
            if told is None:
                return f"execution did not answer in {ACKNOWLEDGE_S:g} s"
            if options.wait > 0 and not _is_flat(told):
                told = await first(inbox, _is_flat, options.wait) or told
            report["state"] = msgspec.to_builtins(told)
            return None
    except (LogError, TimeoutError, OSError) as error:
        return str(error) or f"the log did not answer in {LOG_BOUND_S:g} s"


def _is_flat(event: AnyEvent) -> bool:
    if not isinstance(event, FlattenState):
        return False
    # What was proven flat is proven again from time to time.
    return event.phase is FlattenPhase.FLAT or (event.phase is FlattenPhase.PROVING and event.detail == FLAT_SO_FAR)


def _write_flag(options: argparse.Namespace, session: Session, operator: str) -> Path:
    path = _flag(options, session)
    text = f"{operator}: {options.reason}\n".encode()
    try:
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        try:
            os.write(handle, text)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise UsageError(
            f"neither the log nor {path} can be written ({error.strerror}); cancel and close in TWS by hand, or send "
            "SIGUSR2 to the execution process"
        ) from error
    return path


async def _from_spool(spool: SpoolFile, wait_s: float) -> dict[str, Any] | None:
    """Return how the emergency stands by execution's own file, waiting until it is flat."""
    told: FlattenState | None = None
    bound = asyncio.get_running_loop().time() + wait_s
    while asyncio.get_running_loop().time() < bound:
        states = [event for event in spool.read().events if isinstance(event, FlattenState)]
        told = states[-1] if states else told
        if told is not None and _is_flat(told):
            break
        await asyncio.sleep(SPOOL_POLL_S)
    return msgspec.to_builtins(told) if told is not None else None


def _told_panic(options: argparse.Namespace, report: dict[str, Any]) -> int:
    state = report.get("state")
    flat = state is not None and state["phase"] == FlattenPhase.FLAT.value
    code = EXIT_FALLBACK if report["flag"] else EXIT_OK if flat or options.wait <= 0 else EXIT_TIMEOUT
    if options.json:
        print(json.dumps(report | {"flat": flat, "exit": code}))
        return code
    if report["log"]:
        print(f"panic is on the TAPE as {report['seq']}, by {report['operator']}")
    if report["flag"]:
        print(f"the log was no way ({report['why']}), so {report['flag']} was written; execution looks for it itself")
    if state is None:
        print("execution has not answered: look at TWS, and at execution's log")
    else:
        left = ", ".join(f"{item['symbol']} {item['quantity_micro'] / 1e6:g}" for item in state["positions"])
        print(
            f"{state['phase']} after {state['elapsed_ms'] / 1000:.1f} s; orders open: {state['open_orders']}; "
            f"positions: {left or 'none'}"
        )
        for symbol, reason in state["deferred"].items():
            print(f"  {symbol} waits: {reason}")
    print("latched: `walstreet resume --operator NAME --reason TEXT` ends it" + _remove(report["flag"]))
    return code


def _remove(flag: str | None) -> str:
    return f", after {flag} has been removed" if flag else ""


# ------------------------------------------------------------------------------------------------ resume, mode


async def _resume(options: argparse.Namespace) -> int:
    require_person(options.operator, options.reason, "resume")
    session = _session(options)
    flag = _flag(options, session)
    if flag.exists():
        raise UsageError(f"{flag} is still there; remove it first, or it begins the next emergency at once")
    async with connected(session, _running(session)) as connection:
        state = await newest_event(connection, "order.flatten")
        if isinstance(state, FlattenState) and not _is_flat(state) and not options.not_flat:
            raise UsageError(
                f"the newest word of the emergency is {state.phase.value!r} with {len(state.positions)} positions and "
                f"{state.open_orders} orders, not flat; wait, or resume with --not-flat"
            )
        return await _command(options, connection, "resume", {"reason": options.reason}, _is_mode)


async def _mode(options: argparse.Namespace) -> int:
    session = _session(options)
    if options.mode is not None:
        require_person(options.operator or getpass.getuser(), options.reason, "a change of the mode")
        async with connected(session, _running(session)) as connection:
            arguments = {"mode": options.mode, "reason": options.reason}
            return await _command(options, connection, "mode", arguments, _is_mode)
    async with connected(session, _running(session)) as connection:
        mode = await newest_event(connection, "mode.state")
        flatten = await newest_event(connection, "order.flatten")
    flag = _flag(options, session)
    report = {
        "mode": mode.mode.value if isinstance(mode, ModeState) else None,
        "reason": mode.reason if isinstance(mode, ModeState) else None,
        "flag": str(flag) if flag.exists() else None,
        "flatten": msgspec.to_builtins(flatten) if flatten is not None else None,
    }
    if options.json:
        print(json.dumps(report))
        return EXIT_OK
    print(f"mode {report['mode'] or 'unknown (nothing on the TAPE yet)'}: {report['reason'] or ''}")
    if isinstance(flatten, FlattenState):
        print(
            f"newest emergency: by {flatten.source} {flatten.operator}; {flatten.phase.value} after "
            f"{flatten.elapsed_ms / 1000:.1f} s, {len(flatten.positions)} positions, {flatten.open_orders} orders"
        )
    if report["flag"]:
        print(f"{report['flag']} exists: trading stays stopped until it is removed and a person resumes")
    return EXIT_OK


def _is_mode(event: AnyEvent) -> bool:
    return isinstance(event, ModeState)


async def _rearm(options: argparse.Namespace) -> int:
    require_person(options.operator, options.reason, "rearm")
    if bool(options.symbol) != bool(options.side):
        raise UsageError("rearm takes --symbol and --side together, or neither for the whole account")
    session = _session(options)
    arguments = {"reason": options.reason}
    if options.symbol:
        arguments |= {"symbol": options.symbol, "side": options.side}
    async with connected(session, _running(session)) as connection:
        return await _command(options, connection, "rearm", arguments, None)


async def _disarm(options: argparse.Namespace) -> int:
    require_person(options.operator, options.reason, "disarm")
    session = _session(options)
    async with connected(session, _running(session)) as connection:
        return await _command(options, connection, "disarm", {"reason": options.reason}, None)


async def _arm(options: argparse.Namespace) -> int:
    require_person(options.operator, options.reason, "arm")
    session = _session(options)
    async with connected(session, _running(session)) as connection, following(connection) as inbox:
        seq, event = await write(connection, "arm", {"reason": options.reason}, options.operator.strip())
        told = await first(inbox, lambda item: isinstance(item, GatewayProbed) and item.cause == event.id, options.wait)
    if options.json:
        print(json.dumps({"command": "arm", "seq": seq, "probe": msgspec.to_builtins(told) if told else None}))
    elif isinstance(told, GatewayProbed):
        print(f"{'armed' if told.armed else 'not armed'}: keys of {', '.join(told.keys) or 'nobody'}; {told.detail}")
    else:
        print(f"no probe in {options.wait:g} s: paper trading needs no arming, or execution does not run")
    if told is None:
        return EXIT_TIMEOUT
    return EXIT_OK if isinstance(told, GatewayProbed) and told.ok else EXIT_BROKEN


async def _command(
    options: argparse.Namespace, connection: Connection, name: str, arguments: dict[str, str], wanted: Any
) -> int:
    """Write a command and wait for what shows that it took effect."""
    operator = options.operator.strip() or getpass.getuser()
    async with following(connection) as inbox:
        seq, _ = await write(connection, name, arguments, operator)
        told = await first(inbox, wanted, options.wait) if wanted is not None and options.wait > 0 else None
    waited = wanted is not None and options.wait > 0
    if options.json:
        result = {"command": name, "seq": seq, "mode": told.mode.value if isinstance(told, ModeState) else None}
        print(json.dumps(result))
    else:
        print(f"{name} is on the TAPE as {seq}, by {operator}")
        if isinstance(told, ModeState):
            print(f"mode {told.previous.value} -> {told.mode.value}: {told.reason}")
        elif waited:
            print(f"the mode has not changed in {options.wait:g} s; `walstreet mode` says why it stands")
    return EXIT_TIMEOUT if waited and told is None else EXIT_OK


# ------------------------------------------------------------------------------------------------------ helpers


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", help="state folder of the session (default: the newest under state/)")
    parser.add_argument("--url", help="address of a running NATS server instead of a state folder")
    parser.add_argument("--credentials", default="", help="folder with password files, with --url")
    parser.add_argument("--json", action="store_true", help="for machines")


def _person(parser: argparse.ArgumentParser, *, reason: str | None) -> None:
    parser.add_argument("--operator", default="", help="who commands it")
    parser.add_argument("--reason", default=reason or "", help="why; it is kept on the TAPE")


def _session(options: argparse.Namespace) -> Session:
    if options.url is not None:
        return Session(state=None, url=options.url, credentials=options.credentials)
    if options.state is not None:
        state = Path(options.state)
    else:
        found = sorted(DEFAULT_STATE.glob("*/session.yaml"), key=lambda path: path.stat().st_mtime_ns)
        if not found:
            raise UsageError("there is no session under state/; name one with --state DIR, or --url nats://...")
        state = found[-1].parent
    if not state.is_dir():
        raise UsageError(f"--state {state} is no folder")
    return Session(state=state, url=None, credentials="")


def _running(session: Session) -> str:
    url = session.log_url()
    if url is None:
        raise UsageError(f"no log server runs on {session.state}; only `walstreet panic` works without one")
    return url


def _flag(options: argparse.Namespace, session: Session) -> Path:
    return Path(options.flag) if options.flag else (session.state or DEFAULT_STATE) / FLAG
