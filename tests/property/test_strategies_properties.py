"""Owns the properties of several strategies in one account: nothing lost, no limit broken, no order matters."""

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from walstreet.domain import strategy_books
from walstreet.domain.limits import LimitParameters
from walstreet.domain.strategy_books import AccountBooks, divide_fee, divide_fill
from walstreet.domain.strategy_netting import AccountFacts, Wish, net_wishes
from walstreet.domain.virtual_books import HOUSE
from walstreet_events import (
    ROOT,
    AccountPlan,
    AccountValues,
    EventId,
    OrderCommission,
    OrderFilled,
    OrderIntent,
    Position,
    Positions,
    Side,
    derive_id,
)

EXAMPLES = settings(max_examples=300, deadline=None)
LIVES = settings(max_examples=100, deadline=None)
seeds = st.integers(0, 2**63)
SHARE = 1_000_000
USD = 1_000_000_000
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
NAMES = ("a", "b", "c")
EQUITY_USD = 1_000_000
LIMITS = LimitParameters(name_cap=0.05, sector_gross_max=0.08, net_max=0.06, gross_max=0.12)
SECTORS = {"AAA": "x", "BBB": "x", "CCC": "y", "DDD": "z"}


def wish(strategy: str, symbol: str, signed_micro: int, price_nano: int) -> Wish:
    """Return a wish."""
    return Wish(
        strategy=strategy,
        intent=OrderIntent(
            id=f"{strategy}:{symbol}",
            symbol=symbol,
            con_id=1,
            side=Side.BUY if signed_micro > 0 else Side.SELL,
            quantity_micro=abs(signed_micro),
            reducing=False,
            horizon_minutes=5,
            arrival_mid_nano=price_nano,
            tif_s=15,
            expires_ns=1,
            alpha_bps=1.0,
            target_weight=0.0,
        ),
    )


def situation(rng: random.Random) -> tuple[list[Wish], AccountFacts]:
    """Return random wishes of three strategies and a random account."""
    prices = {symbol: rng.randint(1, 500) * USD + rng.randint(0, USD) for symbol in SYMBOLS}
    unit = SHARE if rng.random() < 0.7 else 1
    biggest = rng.choice((100, 1_000, 20_000))

    def quantity() -> int:
        return rng.randint(-biggest, biggest) * SHARE + (rng.randint(-SHARE, SHARE) if unit == 1 else 0)

    wishes = [
        wish(name, symbol, signed, prices[symbol])
        for name in NAMES
        for symbol in SYMBOLS
        if rng.random() < 0.6 and (signed := quantity())
    ]
    held = {symbol: rng.randint(-300, 300) * SHARE for symbol in SYMBOLS if rng.random() < 0.5}
    return wishes, AccountFacts(
        equity_nano=EQUITY_USD * USD,
        position_micro=held,
        rest_micro={symbol: 0 for symbol in SYMBOLS if rng.random() < 0.1},
        blocked={},
        mark_nano=prices,
        sectors=SECTORS,
    )


def usages(position_micro: dict[str, int], prices: dict[str, int]) -> dict[str, float]:
    """Return what each limit sees, as a weight."""
    weights = {symbol: position_micro.get(symbol, 0) / SHARE * prices[symbol] / USD / EQUITY_USD for symbol in SYMBOLS}
    found = {f"name {symbol}": abs(weight) for symbol, weight in weights.items()}
    for sector in ("x", "y", "z"):
        found[f"sector {sector}"] = sum(abs(weights[symbol]) for symbol in SYMBOLS if SECTORS[symbol] == sector)
    found["gross"] = sum(abs(weight) for weight in weights.values())
    found["net"] = abs(sum(weights.values()))
    return found


@EXAMPLES
@given(seeds)
def test_netting_conserves_and_keeps_every_side(seed):
    """What crosses sums to nothing; nobody gets more than wished, nor the other side; an order has one sign."""
    wishes, facts = situation(random.Random(seed))
    for trade in net_wishes(wishes, facts, limits=LIMITS, notional_usd_min=0.0):
        assert sum(trade.crossed_micro) == 0
        assert min(trade.parents_micro) >= 0 or max(trade.parents_micro) <= 0
        for item, crossed, parent in zip(trade.wishes, trade.crossed_micro, trade.parents_micro, strict=True):
            wanted = item.signed_micro
            assert crossed * wanted >= 0
            assert parent * wanted >= 0
            assert abs(crossed) + abs(parent) <= abs(wanted)


@EXAMPLES
@given(seeds)
@example(seed=573486)
def test_the_sum_never_exceeds_a_limit(seed):
    """Behind all orders each limit holds, or is not broken further than it was before.

    Cutting to whole shares may leave the net one share of each symbol off: an offsetting order became smaller.
    """
    wishes, facts = situation(random.Random(seed))
    trades = net_wishes(wishes, facts, limits=LIMITS, notional_usd_min=0.0)
    after = dict(facts.position_micro)
    for trade in trades:
        after[trade.symbol] = after.get(trade.symbol, 0) + trade.order_micro
    before_use, after_use = usages(dict(facts.position_micro), facts.mark_nano), usages(after, facts.mark_nano)
    slack = sum(price / USD for price in facts.mark_nano.values()) / EQUITY_USD
    for name, used in after_use.items():
        limit = {"name": 0.05, "sector": 0.08, "gross": 0.12, "net": 0.06}[name.split(maxsplit=1)[0]]
        if name == "net":
            # Orders that only reduce always pass, also where what they reduce offset something.
            continue
        assert used <= max(limit, before_use[name]) * (1 + 1e-9) + 1e-12, (name, used, before_use[name])
    offsetting = any(facts.position_micro.get(trade.symbol, 0) * trade.order_micro < 0 for trade in trades)
    if not offsetting and before_use["net"] <= 0.06:
        assert after_use["net"] <= 0.06 + slack


@EXAMPLES
@given(seeds)
def test_the_order_of_strategies_does_not_matter(seed):
    """Whoever speaks first, the same trades come out."""
    rng = random.Random(seed)
    wishes, facts = situation(rng)
    shuffled = rng.sample(wishes, len(wishes))
    first = net_wishes(wishes, facts, limits=LIMITS, notional_usd_min=200.0)
    assert net_wishes(shuffled, facts, limits=LIMITS, notional_usd_min=200.0) == first


@EXAMPLES
@given(seeds)
def test_closing_is_never_trapped(seed):
    """An order that only brings the account towards flat goes out whole, whatever else is wished."""
    wishes, facts = situation(random.Random(seed))
    for trade in net_wishes(wishes, facts, limits=LIMITS, notional_usd_min=0.0):
        wanted = sum(item.signed_micro for item in trade.wishes)
        held = facts.position_micro.get(trade.symbol, 0)
        if trade.symbol not in facts.rest_micro and held * wanted < 0 and abs(wanted) <= abs(held):
            assert trade.order_micro == wanted


# --------------------------------------------------------------------------------------------------- books


class Account:
    """Random life of an account: crossings, orders, executions in pieces, corrections, fees, foreign executions."""

    def __init__(self, rng: random.Random) -> None:
        """Begin before anything is known."""
        self.rng = rng
        self.state = AccountBooks(opening=rng.choice((HOUSE, "a")))
        self.number = 0
        self.sent: list[tuple[str, str, int]] = []
        self.filled: list[OrderFilled] = []

    def tick(self) -> EventId:
        """Return the next identity."""
        self.number += 1
        return derive_id(str(self.number), "event", 0)

    def fold(self, event) -> None:
        """Fold an event, and the division that it causes."""
        strategy_books.fold(self.state, event)
        divided = (
            divide_fill(self.state, event)
            if isinstance(event, OrderFilled)
            else divide_fee(self.state, event)
            if isinstance(event, OrderCommission)
            else None
        )
        if divided is not None:
            strategy_books.fold(self.state, divided)

    def open(self) -> None:
        """Report what the account holds at the beginning."""
        held = tuple(
            Position(
                symbol=symbol, con_id=1, quantity_micro=self.rng.randint(-50, 50) * SHARE, average_cost_nano=90 * USD
            )
            for symbol in SYMBOLS[:2]
        )
        self.fold(Positions(id=self.tick(), cause=ROOT, ts_ns=1, account="U", positions=held))
        money = dict.fromkeys(
            (
                "net_liquidation_nano", "settled_cash_nano", "available_funds_nano", "gross_position_nano",
                "initial_margin_nano", "maintenance_margin_nano",
            )
        )  # fmt: skip
        self.fold(AccountValues(id=self.tick(), cause=ROOT, ts_ns=1, account="U", cash_nano=10**15, **money))

    def plan(self) -> None:
        """Cross wishes and send the rest."""
        wishes, facts = situation(self.rng)
        trades = net_wishes(wishes, facts, limits=LIMITS, notional_usd_min=0.0)
        intents = {trade.symbol: self.tick() if trade.order_micro else "" for trade in trades}
        planned = tuple(trade.planned(intents[trade.symbol]) for trade in trades)
        self.fold(AccountPlan(id=self.tick(), cause=ROOT, ts_ns=2, decision=ROOT, symbols=planned))
        self.sent += [(intents[trade.symbol], trade.symbol, trade.order_micro) for trade in trades if trade.order_micro]

    def execute(self) -> None:
        """Fill something of an order, or of nobody's."""
        foreign = self.rng.random() < 0.1 or not self.sent
        intent, symbol, order = ("", "AAA", 7 * SHARE) if foreign else self.rng.choice(self.sent)
        quantity = abs(order) if self.rng.random() < 0.3 else self.rng.randint(1, abs(order))
        fill = OrderFilled(
            id=self.tick(),
            cause=ROOT,
            ts_ns=3,
            client_order_id=f"order-{intent}",
            intent=intent,
            exec_id=f"e.{self.number}.01.01",
            perm_id=1,
            symbol=symbol,
            con_id=1,
            side=Side.BUY if order > 0 else Side.SELL,
            price_nano=self.rng.randint(1, 500 * USD),
            quantity_micro=quantity,
            cumulative_micro=quantity,
        )
        self.filled.append(fill)
        self.fold(fill)

    def correct(self) -> None:
        """Send an execution again: the same, or a newer version of it."""
        if not self.filled:
            return
        old = self.rng.choice(self.filled)
        family, _, revision = old.exec_id.rpartition(".")
        changed = {name: getattr(old, name) for name in old.__struct_fields__}
        changed |= {
            "id": self.tick(),
            "exec_id": f"{family}.{int(revision) + self.rng.randint(0, 1):02d}",
            "quantity_micro": self.rng.choice((0, old.quantity_micro, self.rng.randint(0, old.quantity_micro))),
            "price_nano": self.rng.randint(1, 500 * USD),
        }
        new = OrderFilled(**changed)
        if new.exec_id != old.exec_id:
            self.filled[self.filled.index(old)] = new
        self.fold(new)

    def charge(self) -> None:
        """Report a fee, perhaps a second time."""
        if self.filled:
            fill = self.rng.choice(self.filled)
            self.fold(
                OrderCommission(
                    id=self.tick(),
                    cause=ROOT,
                    ts_ns=4,
                    exec_id=fill.exec_id,
                    symbol=fill.symbol,
                    commission_nano=self.rng.randint(-USD, 3 * USD),
                    realized_pnl_nano=None,
                )
            )


@LIVES
@given(seeds)
def test_the_books_are_the_account_to_the_last_unit(seed):
    """Positions, cash and fees of all books sum to the ledger's, through corrections, busts and foreign fills."""
    rng = random.Random(seed)
    account = Account(rng)
    if rng.random() < 0.3:
        account.execute()
    account.open()
    for _ in range(25):
        rng.choice((account.plan, account.execute, account.execute, account.correct, account.charge))()
        state = account.state
        assert state.breaks() == ()
        books = state.books.books
        for symbol, book in state.ledger.books.items():
            mine = [item for (_, name), item in books.items() if name == symbol]
            assert sum(item.position_micro for item in mine) == book.position_micro
            assert sum(item.commission_nano for item in mine) == book.commission_nano
        moved = sum(item.cash_exact for item in books.values())
        fees = sum(state.ledger.commissions.values())
        assert moved == state.ledger.cash_exact + fees * SHARE - 10**15 * SHARE
