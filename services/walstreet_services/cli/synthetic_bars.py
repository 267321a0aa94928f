"""Owns the bars of a market of the simulator without a session: what the gateway would have written, made at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from walstreet.training.steps import StepTable, bars_from_steps
from walstreet_events import BarBlock
from walstreet_services.ibsim.market_base import PathMarket
from walstreet_services.ibsim.model import Session

BAR_NS = 60_000_000_000
TABLE_FIELDS = (
    "bid_nano",
    "ask_nano",
    "bid_size_micro",
    "ask_size_micro",
    "trade_nano",
    "trade_size_micro",
)


def session_bars(market: PathMarket, session: Session, *, quoted: bool) -> Iterator[BarBlock]:
    """Yield the bars that the gateway would write for one session of a market."""
    paths = [market.session_path(index, session) for index in range(len(market.instruments))]
    columns = {name: np.stack([getattr(path, name) for path in paths], axis=1) for name in TABLE_FIELDS}
    table = StepTable(
        symbols=tuple(instrument.symbol for instrument in market.instruments),
        open_ns=session.open_ns,
        step_ns=market.step_ns,
        **columns,
    )
    # Before the first trade of a session a symbol has no close that training may use, hence the zeros.
    return bars_from_steps(table, bar_ns=BAR_NS, last_close_nano=np.zeros(len(paths), dtype=np.int64), quoted=quoted)
