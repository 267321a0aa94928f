"""Owns the parameters of flattening: prices, pace, patience and bounds of an emergency."""

from __future__ import annotations

import msgspec

from walstreet.domain.bounds import require_between, require_ordered

SLICES_MAX = 64
"""Orders of one symbol in one round."""
ATTEMPTS_MAX = 10_000


class FlattenParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How execution cancels everything and closes every position."""

    deadline_s: float = 60.0
    """Session time until flat; beyond it, while the market is open, an alert says so."""
    cancel_everything: bool = True
    """Also send the broker's global cancel, which ends orders of other clients and those placed by hand."""
    collar_bps_first: float = 20.0
    """A closing limit lies so far beyond the touch, at most."""
    collar_bps_step: float = 20.0
    """Added with every further round of a symbol."""
    collar_bps_max: float = 200.0
    """No closing limit is ever further from the touch."""
    market_after: int = 0
    """Rounds of a symbol before a market order may close it; 0 never sends one."""
    quote_age_s_max: float = 15.0
    """An older quote prices nothing."""
    order_s: int = 8
    """Time in force of a closing order at the broker."""
    slice_usd_max: float = 250_000.0
    """Notional of one closing order."""
    slices_max: int = 8
    """Closing orders of one symbol in one round; what is left waits for the next."""
    attempts_fast: int = 8
    """Rounds of a symbol as fast as outcomes are proved; later ones wait ``slow_retry_s``."""
    slow_retry_s: float = 30.0
    attempts_max: int = 500
    """Rounds of a symbol in one emergency; beyond it only a person helps."""
    cancel_wait_s: float = 5.0
    """An order that would enlarge the position holds its closing up for so long after its cancel was sent."""
    cancel_retry_s: float = 5.0
    cancels_max: int = 20
    """Cancels of one order in one emergency."""
    proof_gap_s: float = 1.0
    """Least time between two questions for the broker's truth."""
    proof_retry_s: float = 5.0
    """While orders have no outcome, the broker is asked again after so long."""
    proof_timeout_s: float = 20.0
    """A question that has no answer by then is asked again."""
    proof_age_s_max: float = 15.0
    """An older answer closes nothing."""
    watch_s: float = 60.0
    """Once flat the broker is asked so often whether that still holds, until a person resumes."""
    tick_usd_default: float = 0.01
    """Price increment of an instrument whose facts are not known."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges, or that contradict each other."""
        for name, low, high in _RANGES:
            require_between("execution.flatten", name, float(getattr(self, name)), low, high)
        require_ordered(
            "execution.flatten",
            ("collar_bps_first", self.collar_bps_first),
            ("collar_bps_max", self.collar_bps_max),
        )
        require_ordered("execution.flatten", ("attempts_fast", self.attempts_fast), ("attempts_max", self.attempts_max))
        require_ordered(
            "execution.flatten", ("proof_gap_s", self.proof_gap_s), ("proof_age_s_max", self.proof_age_s_max)
        )


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("deadline_s", 1.0, 3_600.0),
    ("collar_bps_first", 0.0, 5_000.0),
    ("collar_bps_step", 0.0, 5_000.0),
    ("collar_bps_max", 0.0, 5_000.0),
    ("market_after", 0, ATTEMPTS_MAX),
    ("quote_age_s_max", 0.1, 600.0),
    ("order_s", 2, 600),
    ("slice_usd_max", 1_000.0, 1e9),
    ("slices_max", 1, SLICES_MAX),
    ("attempts_fast", 1, ATTEMPTS_MAX),
    ("slow_retry_s", 1.0, 3_600.0),
    ("attempts_max", 1, ATTEMPTS_MAX),
    ("cancel_wait_s", 0.0, 600.0),
    ("cancel_retry_s", 1.0, 600.0),
    ("cancels_max", 1, 1_000),
    ("proof_gap_s", 0.0, 60.0),
    ("proof_retry_s", 1.0, 600.0),
    ("proof_timeout_s", 1.0, 600.0),
    ("proof_age_s_max", 1.0, 600.0),
    ("watch_s", 1.0, 3_600.0),
    ("tick_usd_default", 0.0001, 1.0),
)
