"""The account: cost, results, commission and margin against hand-made numbers and invariants."""

from hypothesis import given, settings
from hypothesis import strategies as st

from walstreet_services.ibsim.account import Account, CommissionModel, MarginModel
from walstreet_services.ibsim.model import Side
from walstreet_services.ibsim.units import notional_nano

DOLLAR = 10**9
SHARE = 10**6


def account(price: int = 100 * DOLLAR) -> Account:
    """Return an account of one million USD that marks everything at one price."""
    return Account(name="DU1", cash_nano=1_000_000 * DOLLAR, mark=lambda _: price)


def test_commission_schedule():
    """Half a cent per share, at least a dollar, at most one percent of the value."""
    model = CommissionModel()
    assert model.order_total(100 * SHARE, 10_000 * DOLLAR) == DOLLAR
    assert model.order_total(1000 * SHARE, 100_000 * DOLLAR) == 5 * DOLLAR
    assert model.order_total(10 * SHARE, 50 * DOLLAR) == DOLLAR // 2


def test_average_cost_includes_commission_and_closing_realises():
    """A bought lot costs its fee too; selling half of it realises price minus cost minus fee."""
    books = account(101 * DOLLAR)
    opened = books.apply(0, Side.BUY, quantity_micro=200 * SHARE, price_nano=100 * DOLLAR, commission_nano=2 * DOLLAR)
    assert opened is None
    assert books.positions[0].average_cost_nano == 100_010_000_000
    realized = books.apply(0, Side.SELL, quantity_micro=100 * SHARE, price_nano=102 * DOLLAR, commission_nano=DOLLAR)
    assert realized == 100 * 2 * DOLLAR - DOLLAR - DOLLAR
    assert books.positions[0].quantity_micro == 100 * SHARE
    assert books.positions[0].average_cost_nano == 100_010_000_000


def test_crossing_zero_closes_and_opens():
    """A sell beyond the holding realises the holding and opens a short at the sell's price."""
    books = account()
    books.apply(0, Side.BUY, quantity_micro=10 * SHARE, price_nano=100 * DOLLAR, commission_nano=0)
    realized = books.apply(0, Side.SELL, quantity_micro=30 * SHARE, price_nano=110 * DOLLAR, commission_nano=3 * DOLLAR)
    assert realized == 100 * DOLLAR - DOLLAR
    position = books.positions[0]
    assert position.quantity_micro == -20 * SHARE
    assert position.cost_nano == -2200 * DOLLAR + 2 * DOLLAR


def test_margins_of_long_and_short():
    """Initial and maintenance margins follow the rates of the side."""
    model = MarginModel()
    assert model.initial(1000) == model.initial(-1000) == 500
    assert (model.maintenance(1000), model.maintenance(-1000)) == (250, 300)


FILLS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(list(Side)),
        st.integers(1, 5000),
        st.integers(1, 50_000),
        st.integers(0, 10 * DOLLAR),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(FILLS)
def test_money_is_conserved(fills):
    """Equity change equals realised plus unrealised result, to the rounding of one unit per fill."""
    mark = 123 * DOLLAR
    books = account(mark)
    for index, side, shares, cents, fee in fills:
        books.apply(index, side, quantity_micro=shares * SHARE, price_nano=cents * DOLLAR // 100, commission_nano=fee)
    cash = 1_000_000 * DOLLAR
    for _, side, shares, cents, fee in fills:
        value = notional_nano(cents * DOLLAR // 100, shares * SHARE)
        cash += (-value if side is Side.BUY else value) - fee
    assert books.cash_nano == cash
    gap = books.daily() - books.realized_nano - books.unrealized_total()
    assert abs(gap) <= 2 * len(fills)
    assert books.realized_nano == sum(position.realized_nano for position in books.positions.values())


def test_values_are_finite_numbers_in_usd():
    """Every amount is a plain decimal, and funds add up."""
    books = account()
    books.apply(0, Side.BUY, quantity_micro=1000 * SHARE, price_nano=100 * DOLLAR, commission_nano=5 * DOLLAR)
    values = {tag: float(value) for tag, value, currency in books.values() if currency == "USD" and tag != "Currency"}
    assert values["NetLiquidation"] == values["TotalCashValue"] + values["StockMarketValue"]
    assert values["AvailableFunds"] == values["EquityWithLoanValue"] - values["InitMarginReq"]
    assert values["BuyingPower"] == 2 * values["AvailableFunds"]
