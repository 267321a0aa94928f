"""Owns `walstreet adopt`: a person takes over what is not ours in a symbol, so that it may be traded again.

The command becomes an event of the operator. The reconciler asks the broker anew and folds the broker's position into
the books by a correction on the log; only that correction lifts the block.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from walstreet.adapters.nats import Connection, TapeInbox
from walstreet.domain.external import ADOPT, ADOPTED, POSITION, Externals, origin_of
from walstreet.domain.reconciler_corrections import CASH_TOO
from walstreet.runtime.errors import EXIT_OK, EXIT_TIMEOUT, UsageError
from walstreet_events import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    AnyEvent,
    BreakKind,
    ExternalOrder,
    LedgerCorrection,
    ReconBreak,
    decode,
)
from walstreet_services.cli.operator_writer import OperatorWriter, require_running
from walstreet_services.cli.tapes import newest_state, open_tape, read_all

WAIT_S = 30.0
CORRECTION_SUBJECT = "recon.correction"


@dataclass(slots=True)
class Waiting:
    """What the TAPE says of foreign orders and positions."""

    writer: OperatorWriter = field(default_factory=OperatorWriter)
    externals: Externals = field(default_factory=Externals)
    facts: dict[str, list[str]] = field(default_factory=dict)
    """Symbol to what was recorded of it since the last adoption, in words."""

    def take(self, event: AnyEvent) -> None:
        """Fold one event."""
        self.externals.apply(event)
        match event:
            case ExternalOrder():
                whose = origin_of(client_id=event.client_id, order_ref=event.order_ref).value
                shares = event.quantity_micro / QUANTITY_SCALE
                self._note(event.symbol, f"order {event.perm_id} ({whose}): {event.status}, {shares:g} shares")
            case ReconBreak() if event.symbol and event.policy != "auto_sync" and _of_position(event):
                self._note(event.symbol, f"{event.reference}: ours {event.ours}, the broker's {event.brokers}")
            case LedgerCorrection(policy=policy) if policy == ADOPTED:
                self.facts.pop(event.symbol, None)
            case _:
                pass

    def _note(self, symbol: str, text: str) -> None:
        known = self.facts.setdefault(symbol, [])
        if text not in known:
            known.append(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("symbol", nargs="?", help="the symbol to adopt; without it, what waits is listed")
    parser.add_argument("--reason", help="why, for the record")
    parser.add_argument("--by", metavar="NAME", help="the person who adopts")
    parser.add_argument("--cash", action="store_true", help="take the present difference in cash over as well")
    parser.add_argument("--wait", type=float, default=WAIT_S, help="seconds to wait for the correction (0: do not)")
    parser.add_argument("--state", help="state folder of the session (default: the newest under state/)")
    parser.add_argument("--url", help="address of a running NATS server")
    parser.add_argument("--credentials", default="", help="folder with password files, with --url")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=lambda options: asyncio.run(_run(options)))


async def _run(options: argparse.Namespace) -> int:
    state = newest_state() if options.state is None and options.url is None else options.state
    if options.symbol is not None:
        for name, value in (("--reason", options.reason), ("--by", options.by)):
            if not (value or "").strip():
                raise UsageError(
                    f"adopt {options.symbol} needs {name}: a person answers for it, and the record says why"
                )
        require_running(state, lambda folder: f"what waits is shown by `walstreet adopt --state {folder}`")
    async with open_tape(state=state, url=options.url, credentials_dir=options.credentials) as connection:
        waiting = await _waiting(connection)
        if options.symbol is None:
            _list(options, waiting)
            return EXIT_OK
        return await _adopt(options, connection, waiting)


async def _waiting(connection: Connection) -> Waiting:
    messages, _ = await read_all(connection)
    waiting = Waiting()
    for message in messages:
        event = waiting.writer.note(message)
        if event is not None:
            waiting.take(event)
    return waiting


async def _adopt(options: argparse.Namespace, connection: Connection, waiting: Waiting) -> int:
    symbol = options.symbol
    if symbol not in waiting.facts and symbol not in waiting.externals:
        names = ", ".join(sorted(waiting.facts)) or "nothing"
        raise UsageError(f"nothing foreign was recorded in {symbol}; waiting: {names}")
    arguments = {"symbol": symbol, "reason": options.reason} | ({CASH_TOO: "true"} if options.cash else {})
    inbox = TapeInbox(connection)
    await inbox.start()
    try:
        seq, _ = await waiting.writer.command(connection, command=ADOPT, arguments=arguments, operator=options.by)
        correction = await _corrected(inbox, symbol, seq, options.wait) if options.wait > 0 else None
    finally:
        await inbox.stop()
    _tell(options, seq, correction)
    return EXIT_TIMEOUT if options.wait > 0 and correction is None else EXIT_OK


async def _corrected(inbox: TapeInbox, symbol: str, after: int, wait_s: float) -> LedgerCorrection | None:
    """Return the correction that ends the adoption, None if none came in time."""
    try:
        async with asyncio.timeout(wait_s):
            while True:
                for message in await inbox.take():
                    if message.subject != CORRECTION_SUBJECT or message.seq <= after:
                        continue
                    event = decode(message.payload)
                    if isinstance(event, LedgerCorrection) and (event.policy, event.symbol) == (ADOPTED, symbol):
                        return event
    except TimeoutError:
        return None


def _tell(options: argparse.Namespace, seq: int, correction: LedgerCorrection | None) -> None:
    shares = correction.position_change_micro / QUANTITY_SCALE if correction else None
    dollars = correction.cash_change_nano / PRICE_SCALE if correction else None
    if options.json:
        print(json.dumps({"symbol": options.symbol, "seq": seq, "shares_taken": shares, "cash_taken_usd": dollars}))
        return
    console = Console()
    console.print(f"adopt {options.symbol} by {options.by}, on the TAPE as {seq}", markup=False)
    if correction is not None:
        console.print(f"adopted: {shares:+g} shares and {dollars:+.2f} USD were taken into the books", markup=False)
    elif options.wait > 0:
        console.print(
            f"the broker has not answered within {options.wait:g} s; {options.symbol} stays blocked until it has"
        )


def _list(options: argparse.Namespace, waiting: Waiting) -> None:
    recorded = dict(sorted(waiting.facts.items()))
    if options.json:
        rows = {name: {"blocked": name in waiting.externals, "facts": facts} for name, facts in recorded.items()}
        print(json.dumps(rows))
        return
    table = Table("symbol", "blocked", "what was recorded", title="what waits for a person")
    for symbol, facts in recorded.items():
        table.add_row(symbol, "yes" if symbol in waiting.externals else "no", escape("\n".join(facts)))
    Console().print(table)


def _of_position(event: ReconBreak) -> bool:
    return event.kind is BreakKind.EXTERNAL_ORDER or (event.kind is BreakKind.QUANTITY and event.reference == POSITION)
