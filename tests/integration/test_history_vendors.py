"""Tiingo and Alpaca over real HTTP: a local server gives the answers that their documentation shows."""

import asyncio
import datetime as dt
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from walstreet.adapters.alpaca import AlpacaHistory
from walstreet.adapters.history_http import get_json
from walstreet.adapters.history_source import HistoryError, Patience, asked_again
from walstreet.adapters.tiingo import TiingoHistory
from walstreet.domain.daily_series import day_number
from walstreet.research.daily_store import DailyStore
from walstreet.testing.stack import command

pytestmark = pytest.mark.integration

KEY, SECRET = "key-that-must-stay-here", "secret-that-must-stay-here"
DAY = day_number(dt.date(2019, 1, 2))
BOUND_S = 280.0
"""Loading the exchange's calendar takes a minute on a machine that is busy."""
NOW_NS = 1_700_000_000 * 10**9
TIINGO_ROW = {
    "date": "2019-01-02T00:00:00.000Z",
    "close": 157.92,
    "high": 158.85,
    "low": 154.23,
    "open": 154.89,
    "volume": 37039737,
    "adjClose": 157.70,
    "adjHigh": 158.63,
    "adjLow": 154.02,
    "adjOpen": 154.67,
    "adjVolume": 37039737,
    "divCash": 0.0,
    "splitFactor": 1.0,
}
ALPACA_BAR = {"t": "2019-01-02T05:00:00Z", "o": 154.89, "h": 158.85, "l": 154.23, "c": 157.92, "v": 37039737}
ALPACA_BAR |= {"n": 298532, "vw": 156.9}


class FixedClock:
    """A clock that stands."""

    def now_ns(self) -> int:
        """Return the same moment for ever."""
        return NOW_NS


class Vendor:
    """A server on loopback whose answers a test writes down: (status, headers, body) in turn, the last one repeated."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                vendor.asked.append(
                    (parts.path, parse_qs(parts.query), {k.lower(): v for k, v in self.headers.items()})
                )
                status, headers, body = vendor.answers[0] if len(vendor.answers) == 1 else vendor.answers.pop(0)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def says(self, *contents: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answer with these, in turn."""
        bodies = [content if isinstance(content, bytes) else json.dumps(content).encode() for content in contents]
        self.answers += [(status, headers or {}, body) for body in bodies]

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def vendor(monkeypatch):
    """Return a running vendor; a proxy of the environment must not stand between."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Vendor()
    yield server
    server.close()


def tiingo(vendor, **options):
    """Return the adapter on the local server."""
    return TiingoHistory(KEY, clock=FixedClock(), url=vendor.url, **options)


def alpaca(vendor, **options):
    """Return the adapter on the local server."""
    return AlpacaHistory(KEY, SECRET, clock=FixedClock(), url=vendor.url, **options)


def raw(source, symbol="AAPL"):
    """Ask for three days of raw prices."""
    return asyncio.run(source.raw(symbol, DAY, DAY + 2, growing=False))


def failure(source, symbol="AAPL"):
    """Return the error of the same question, which has no key in it."""
    with pytest.raises(HistoryError) as caught:
        raw(source, symbol)
    assert KEY not in repr(caught.value)
    assert SECRET not in repr(caught.value)
    return caught.value


def test_tiingo_raw_and_adjusted_prices_are_told_apart(vendor) -> None:
    """One request each, the key in a header and never in the address."""
    vendor.says([TIINGO_ROW])
    (bar,) = raw(tiingo(vendor), "BRK.B")
    (adjusted,) = asyncio.run(tiingo(vendor).adjusted("AAPL", DAY))
    assert (bar.day, bar.open, bar.high, bar.low, bar.close, bar.volume) == (
        DAY,
        154.89,
        158.85,
        154.23,
        157.92,
        37039737,
    )
    assert (adjusted.open, adjusted.high, adjusted.low, adjusted.close) == (154.67, 158.63, 154.02, 157.70)
    path, query, headers = vendor.asked[0]
    assert path == "/tiingo/daily/BRK-B/prices"
    assert (query["startDate"], query["endDate"]) == (["2019-01-02"], ["2019-01-04"])
    assert headers["authorization"] == f"Token {KEY}"
    assert all(KEY not in path + json.dumps(query) for path, query, _ in vendor.asked)
    assert "endDate" not in vendor.asked[1][1]


def test_alpaca_pages_are_joined(vendor) -> None:
    """The token of a page asks for the next one; midnight in New York is the day."""
    later = {**ALPACA_BAR, "t": "2019-01-03T05:00:00Z", "c": 142.19, "l": 142.0}
    vendor.says(
        {"bars": [ALPACA_BAR], "symbol": "AAPL", "next_page_token": "QUFQTHxEfDE="},
        {"bars": [later], "symbol": "AAPL", "next_page_token": None},
    )
    bars = raw(alpaca(vendor, feed="sip"))
    assert [(bar.day, bar.close) for bar in bars] == [(DAY, 157.92), (DAY + 1, 142.19)]
    first, second = vendor.asked
    assert first[0] == "/v2/stocks/AAPL/bars"
    assert "page_token" not in first[1]
    assert second[1]["page_token"] == ["QUFQTHxEfDE="]
    assert (first[1]["adjustment"], first[1]["feed"], first[1]["timeframe"]) == (["raw"], ["sip"], ["1Day"])
    assert (first[2]["apca-api-key-id"], first[2]["apca-api-secret-key"]) == (KEY, SECRET)
    vendor.answers.clear()
    vendor.says({"bars": [ALPACA_BAR], "symbol": "AAPL", "next_page_token": None})
    asyncio.run(alpaca(vendor).adjusted("AAPL", DAY))
    assert vendor.asked[-1][1]["adjustment"] == ["all"]


def test_alpaca_pages_that_run_in_a_circle_end(vendor) -> None:
    """A token that comes again would never end."""
    vendor.says({"bars": [ALPACA_BAR], "symbol": "AAPL", "next_page_token": "again"})
    assert failure(alpaca(vendor)).reason == "malformed"
    assert len(vendor.asked) == 2


@pytest.mark.parametrize(
    ("status", "content", "reason", "words"),
    [
        (401, {"detail": "Invalid token."}, "permission", "Invalid token."),
        (403, {"message": "forbidden."}, "permission", "forbidden."),
        (404, {"detail": "Not found."}, "unknown_symbol", "Not found."),
        (422, {"message": "invalid symbol: ?"}, "refused", "invalid symbol"),
        (500, b"<html>oops</html>", "unavailable", "oops"),
        (503, b"", "unavailable", "503"),
        (302, b"", "refused", "302"),
    ],
)
@pytest.mark.parametrize("make", [tiingo, alpaca])
def test_refusals_have_a_reason_and_the_vendors_words(vendor, make, status, content, reason, words) -> None:
    """A key that is wrong, a symbol that does not exist, a server that is down; a redirect is not followed."""
    vendor.says(content, status=status, headers={"Location": "http://127.0.0.1:1/"} if status == 302 else {})
    error = failure(make(vendor))
    assert error.reason == reason
    assert words in str(error)
    assert len(vendor.asked) == 1


@pytest.mark.parametrize("make", [tiingo, alpaca])
@pytest.mark.parametrize(
    "content", [b"not json", b'{"bars": 5, "next_page_token": []}', b'[{"date": "tomorrow"}]', b"[1,2", b"\xff\xfe"]
)
def test_answers_that_are_no_prices_are_malformed(vendor, make, content) -> None:
    """Whatever comes in place of the documented shape, nothing is made up from it."""
    vendor.says(content)
    assert failure(make(vendor)).reason == "malformed"


@pytest.mark.parametrize(("make", "content"), [(tiingo, []), (alpaca, {"bars": None, "next_page_token": None})])
def test_no_price_in_these_days_is_said(vendor, make, content) -> None:
    """An empty answer is a fact and no failure of the source."""
    vendor.says(content)
    assert failure(make(vendor)).reason == "no_data"


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [("7", 7.0), ("Tue, 14 Nov 2023 22:13:32 GMT", 12.0), ("soon", None), ("-3", None), (None, None)],
)
def test_a_rate_limit_says_how_long_to_wait(vendor, header, wait_s) -> None:
    """Seconds or a date; anything else is left to our own patience."""
    vendor.says({"message": "too many requests."}, status=429, headers={"Retry-After": header} if header else {})
    error = failure(alpaca(vendor))
    assert (error.reason, error.wait_s) == ("pacing", wait_s)


def test_a_rate_limit_is_waited_for_and_then_answered(vendor) -> None:
    """The vendor's own seconds, and not more than the longest wait."""
    vendor.says(b"{}", status=429, headers={"Retry-After": "3"})
    vendor.says(b"{}", status=429, headers={"Retry-After": "9999"})
    vendor.says([TIINGO_ROW])
    waits, said = [], []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    source = tiingo(vendor)
    patience = Patience(attempts=3, first_s=1.0, max_s=60.0)
    bars = asyncio.run(
        asked_again(lambda: source.raw("AAPL", DAY, DAY + 2, growing=False), patience, sleep=sleep, notice=said.append)
    )
    assert (len(bars), waits) == (1, [3.0, 60.0])
    assert "asked again in 3 s (1 of 2)" in said[0]


def test_nobody_there_and_nobody_answering_are_unavailable(vendor) -> None:
    """A closed port and a timeout pass with time."""
    vendor.close()
    assert failure(tiingo(vendor)).reason == "unavailable"


def test_a_key_does_not_travel_in_clear_text() -> None:
    """Plain http is for this machine only."""
    with pytest.raises(HistoryError, match=r"not https.*data\.tiingo_url") as caught:
        asyncio.run(
            get_json(
                "http://api.example.com", {}, {"Authorization": KEY}, vendor="tiingo", timeout_s=1.0, clock=FixedClock()
            )
        )
    assert caught.value.reason == "refused"


def test_bot_fetch_takes_the_key_from_the_environment_and_fills_the_folder(vendor, tmp_path, monkeypatch) -> None:
    """The whole command against the local vendor: files, exit code, and the key in no output and no file."""
    rows = [
        {
            **TIINGO_ROW,
            "date": f"2019-01-{day:02d}T00:00:00.000Z",
            "close": 157.0 + day / 9,
            "adjClose": 156.0 + day / 9,
        }
        for day in (2, 3, 4)
    ]
    vendor.says(rows)
    arguments = ["fetch", "--data", str(tmp_path / "d"), "--symbols", "AAPL", "--start", "2019-01-02"]
    arguments += ["--end", "2019-01-04", "--set", "data.source=tiingo", "--set", f"data.tiingo_url={vendor.url}"]
    monkeypatch.delenv("TIINGO_API_KEY", raising=False)
    missing = command(*arguments, bound_s=BOUND_S)
    assert missing.code == 2
    assert "set TIINGO_API_KEY" in missing.text
    monkeypatch.setenv("TIINGO_API_KEY", KEY)
    ended = command(*arguments, bound_s=BOUND_S)
    assert ended.code == 0, ended.text
    series = DailyStore(tmp_path / "d").read("AAPL", "adjusted").series
    assert series.close.tolist() == [156.0 + day / 9 for day in (2, 3, 4)]
    assert KEY not in ended.text
    assert all(KEY.encode() not in path.read_bytes() for path in (tmp_path / "d").rglob("*") if path.is_file())
