"""Owns the tests of the mode controller's computed causes."""

import math

import numpy as np
import pytest

from walstreet.domain.mode import ModeMemory, ModeParameters, next_mode
from walstreet.domain.mode_causes import (
    DAILY_LOSS,
    DRAWDOWN,
    EXCEPTIONS,
    EXCEPTIONS_MAX,
    GROSS,
    SEVERITIES,
    STALE_ACCOUNT,
    FaultMemory,
    LossMemory,
    ModeCauseParameters,
    account_cause,
    chain_cause,
    daily_loss_cause,
    drawdown_cause,
    exception_cause,
    fact_causes,
    gross_cause,
    gross_usd,
    latency_cause,
    note_account,
    note_chain,
    note_equity,
    note_exception,
    note_latency,
    note_session,
)
from walstreet_events import NANOS_PER_SECOND, PRICE_SCALE, QUANTITY_SCALE, Mode

pytestmark = pytest.mark.spec("001.control")

PARAMETERS = ModeCauseParameters()
S = NANOS_PER_SECOND


def usd(amount: float) -> int:
    """Return dollars in nano."""
    return round(amount * PRICE_SCALE)


def account(*equities: float, session: str = "2024-01-02") -> LossMemory:
    """Return a memory after a session began and these equities were reported, a second apart."""
    memory = LossMemory()
    note_session(memory, session)
    for second, equity in enumerate(equities):
        note_equity(memory, usd(equity), second * S)
    return memory


# ------------------------------------------------------------------------------------------------------- losses


def test_two_percent_comes_first_on_a_small_account():
    """Of $50,000 2 % is $1,000: a loss of $999.99 is allowed, one of $1,000 is EMERGENCY."""
    assert daily_loss_cause(account(50_000.0, 49_000.01), PARAMETERS) is None
    assert daily_loss_cause(account(50_000.0, 49_000.0), PARAMETERS) == (Mode.EMERGENCY, "daily_loss")


def test_two_thousand_dollars_come_first_on_a_large_account():
    """Of $1,000,000 2 % would be $20,000, so $2,000 decide."""
    assert daily_loss_cause(account(1_000_000.0, 998_000.01), PARAMETERS) is None
    assert daily_loss_cause(account(1_000_000.0, 998_000.0), PARAMETERS) == (Mode.EMERGENCY, "daily_loss")


def test_a_daily_loss_stands_until_equity_is_back_or_the_next_session():
    """The cause goes when equity recovers; a new session counts from the last equity; the same one again does not."""
    memory = account(50_000.0, 48_900.0)
    assert daily_loss_cause(memory, PARAMETERS) is not None
    note_session(memory, "2024-01-02")
    assert daily_loss_cause(memory, PARAMETERS) is not None
    note_session(memory, "2024-01-03")
    assert daily_loss_cause(memory, PARAMETERS) is None
    note_equity(memory, usd(47_922.0), 10 * S)
    assert daily_loss_cause(memory, PARAMETERS) is not None
    note_equity(memory, usd(47_923.0), 11 * S)
    assert daily_loss_cause(memory, PARAMETERS) is None


def test_losses_count_from_the_evening_before():
    """A gap over night is a loss of the new day: $50,000 at the close, $49,000 at the first report."""
    memory = account(50_000.0)
    note_session(memory, "2024-01-03")
    note_equity(memory, usd(49_000.0), 5 * S)
    assert daily_loss_cause(memory, PARAMETERS) == (Mode.EMERGENCY, "daily_loss")


def test_drawdown_is_measured_from_the_high_water_mark():
    """From $60,000 10 % is $54,000, however slowly it is reached."""
    assert drawdown_cause(account(50_000.0, 60_000.0, 54_000.01), PARAMETERS) is None
    assert drawdown_cause(account(50_000.0, 60_000.0, 54_000.0), PARAMETERS) == (Mode.EMERGENCY, "drawdown")


def test_a_high_water_mark_from_before_this_log_counts():
    """With $70,000 in the settings $63,000 are a drawdown although this log began at $64,000."""
    parameters = ModeCauseParameters(high_water_usd=70_000.0)
    assert drawdown_cause(account(64_000.0, 63_000.01), parameters) is None
    assert drawdown_cause(account(64_000.0, 63_000.0), parameters) is not None


def test_before_the_first_equity_there_is_no_loss():
    """Nothing known is no loss, but a stale account."""
    memory = LossMemory()
    assert daily_loss_cause(memory, PARAMETERS) is None
    assert drawdown_cause(memory, PARAMETERS) is None
    assert gross_cause(memory, 1e9, gross_max=0.5, parameters=PARAMETERS) is None
    assert account_cause(memory, 0, PARAMETERS) == (Mode.OBSERVE, "stale_account")


def test_a_report_without_a_number_keeps_the_loss_and_is_stale():
    """A missing equity neither ends an emergency nor confirms the account."""
    memory = account(50_000.0, 48_000.0)
    note_equity(memory, None, 2 * S)
    assert daily_loss_cause(memory, PARAMETERS) is not None
    assert account_cause(memory, 2 * S, PARAMETERS) == (Mode.OBSERVE, "stale_account")
    note_equity(memory, usd(48_000.0), 3 * S)
    assert account_cause(memory, 3 * S, PARAMETERS) is None


def test_equity_below_zero_is_handled():
    """An account under water that stays where it is has no loss; one that falls further has both, by any amount."""
    assert daily_loss_cause(account(-100.0, -100.0), PARAMETERS) is None
    assert drawdown_cause(account(-100.0, -100.0), PARAMETERS) is None
    memory = account(-100.0, -101.0)
    assert daily_loss_cause(memory, PARAMETERS) == (Mode.EMERGENCY, "daily_loss")
    assert drawdown_cause(memory, PARAMETERS) == (Mode.EMERGENCY, "drawdown")
    assert gross_cause(memory, 1.0, gross_max=0.5, parameters=PARAMETERS) == (Mode.EMERGENCY, "gross_above_limit")


# -------------------------------------------------------------------------------------------------------- gross


def test_gross_a_fifth_above_the_limit_is_an_emergency():
    """Of $100,000 at .5 a book of $60,000 is allowed, a cent more is not."""
    memory = account(100_000.0)
    assert gross_cause(memory, 60_000.0, gross_max=0.5, parameters=PARAMETERS) is None
    assert gross_cause(memory, 60_000.01, gross_max=0.5, parameters=PARAMETERS) == (Mode.EMERGENCY, GROSS)


def test_gross_adds_sizes_and_skips_what_has_no_mark():
    """100 at $50 and -200 at $20 are $9,000; a third position without a mark makes that a lower bound."""
    position = np.array([100, -200, 300, 0]) * QUANTITY_SCALE
    assert gross_usd(position, np.array([50.0, 20.0, np.nan, 7.0])) == pytest.approx(9_000.0)
    assert gross_usd(np.zeros(0, dtype=np.int64), np.zeros(0)) == 0.0


# ------------------------------------------------------------------------------------------------------- faults


def test_only_latency_above_the_mark_degrades():
    """700 ms are allowed, 700.1 are not, and the next decision in time ends it."""
    memory = FaultMemory()
    assert latency_cause(memory, PARAMETERS) is None
    note_latency(memory, 700.0)
    assert latency_cause(memory, PARAMETERS) is None
    note_latency(memory, 700.1)
    assert latency_cause(memory, PARAMETERS) == (Mode.DEGRADED, "decision_latency")
    note_latency(memory, 12.0)
    assert latency_cause(memory, PARAMETERS) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_an_impossible_latency_counts_as_late(value: float):
    """A clock that jumped proves nothing."""
    memory = FaultMemory()
    note_latency(memory, value)
    assert latency_cause(memory, PARAMETERS) is not None


def test_five_exceptions_in_three_hundred_seconds_degrade():
    """Four do not; the fifth does at 300 s after the first; a second later the first has left the window."""
    memory = FaultMemory()
    for second in (0, 100, 200, 250):
        note_exception(memory, second * S)
    assert exception_cause(memory, 299 * S, PARAMETERS) is None
    note_exception(memory, 300 * S)
    assert exception_cause(memory, 300 * S, PARAMETERS) == (Mode.DEGRADED, EXCEPTIONS)
    assert exception_cause(memory, 300 * S + 1, PARAMETERS) is None


def test_exception_times_are_bounded_and_keep_the_newest():
    """A storm keeps the newest hundred, in order, also when they come out of order."""
    memory = FaultMemory()
    for second in reversed(range(3 * EXCEPTIONS_MAX)):
        note_exception(memory, second * S)
    assert memory.exceptions_ns == [second * S for second in range(2 * EXCEPTIONS_MAX, 3 * EXCEPTIONS_MAX)]


def test_a_stale_account_observes():
    """300 s after the last report it is still fresh, a nanosecond later stale; a confirmation refreshes it."""
    memory = account(50_000.0)
    assert account_cause(memory, 300 * S, PARAMETERS) is None
    assert account_cause(memory, 300 * S + 1, PARAMETERS) == (Mode.OBSERVE, STALE_ACCOUNT)
    note_account(memory, 200 * S)
    note_account(memory, 100 * S)
    assert account_cause(memory, 500 * S, PARAMETERS) is None
    assert account_cause(memory, 199 * S, PARAMETERS) == (Mode.OBSERVE, STALE_ACCOUNT)


def test_a_broken_chain_observes():
    """The chain's state is a fact of its own."""
    memory = FaultMemory()
    assert chain_cause(memory) is None
    note_chain(memory, broken=True)
    assert chain_cause(memory) == (Mode.OBSERVE, "chain_broken")


def test_all_causes_together_have_a_fixed_order_and_the_worst_decides():
    """Late, loss and drawdown stand side by side; the controller goes to EMERGENCY for the first of the worst."""
    losses, faults = account(50_000.0, 40_000.0), FaultMemory()
    note_latency(faults, 900.0)
    causes = fact_causes(losses, faults, now_ns=2 * S, gross_now_usd=0.0, gross_max=0.5, parameters=PARAMETERS)
    assert [reason for _, reason in causes] == ["decision_latency", DAILY_LOSS, DRAWDOWN]
    assert next_mode(ModeMemory(), causes, 2 * S, ModeParameters()) == (Mode.EMERGENCY, DAILY_LOSS)


def test_a_healthy_account_has_no_cause():
    """In a quiet session nothing holds the mode down."""
    causes = fact_causes(
        account(50_000.0, 49_500.0), FaultMemory(), now_ns=60 * S, gross_now_usd=25_000.0, gross_max=0.5,
        parameters=PARAMETERS,
    )  # fmt: skip
    assert causes == []


def test_severities_are_those_of_the_design():
    """Latency and exceptions degrade, the account and the chain observe, losses and gross are emergencies."""
    assert SEVERITIES == {
        "decision_latency": Mode.DEGRADED,
        "exceptions": Mode.DEGRADED,
        "stale_account": Mode.OBSERVE,
        "chain_broken": Mode.OBSERVE,
        "daily_loss": Mode.EMERGENCY,
        "drawdown": Mode.EMERGENCY,
        "gross_above_limit": Mode.EMERGENCY,
    }


def test_digests_see_every_fact():
    """Each note changes the canonical form."""
    losses, faults = account(50_000.0), FaultMemory()
    seen = {losses.canonical()}
    note_account(losses, 9 * S)
    seen.add(losses.canonical())
    note_session(losses, "later")
    seen.add(losses.canonical())
    assert len(seen) == 3
    before = faults.canonical()
    note_exception(faults, S)
    assert faults.canonical() != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exceptions_count": EXCEPTIONS_MAX + 1}, r"mode_causes\.exceptions_count is 101"),
        ({"daily_loss_usd": 0.0}, r"mode_causes\.daily_loss_usd is 0\.0"),
        ({"drawdown_share": math.nan}, r"mode_causes\.drawdown_share is nan"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, float], message: str):
    """A mark that could never or always be reached is a mistake."""
    with pytest.raises(ValueError, match=message):
        ModeCauseParameters(**changes)
