"""Owns getting one JSON document over HTTP for the vendors of daily history; keys travel in headers only."""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Final

from walstreet.adapters.history_source import HistoryError, Reason
from walstreet.ports import Clock
from walstreet_events import NANOS_PER_SECOND

ANSWER_BYTES_MAX: Final = 64 << 20
TEXT_CHARACTERS_MAX: Final = 200
"""So much of a vendor's message is quoted."""
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
SERVER_FAULT_FIRST: Final = 500
STATUS_REASONS: Final[Mapping[int, Reason]] = {
    400: "refused",
    401: "permission",
    403: "permission",
    404: "unknown_symbol",
    422: "refused",
    429: "pacing",
}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses to follow: the key in the headers would go wherever an answer points."""

    def redirect_request(  # noqa: PLR0917 - the library's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Return nothing, which makes the redirect an error."""
        del req, fp, code, msg, headers, newurl


async def get_json(
    url: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    *,
    vendor: str,
    timeout_s: float,
    clock: Clock,
) -> object:
    """Return the JSON document at ``url``.

    Args:
        url: Without a query; ``http`` to this machine only.
        query: Parameters that may be logged.
        headers: The key among them.
        vendor: Named in errors.
        timeout_s: Of connecting and of each read.
        clock: To read a ``Retry-After`` that is a date.

    Raises:
        HistoryError: No answer, no success, or no JSON. The text has neither headers nor keys.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise HistoryError(
            f"{vendor}: {url} is not https; a key must not travel in clear text, mend data.{vendor}_url",
            reason="refused",
        )
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked above
        f"{url}?{urllib.parse.urlencode(query)}", headers={**headers, "Accept": "application/json"}
    )
    body = await asyncio.to_thread(_fetch, request, vendor, timeout_s, clock)
    try:
        content: object = json.loads(body)
    except ValueError as error:
        text = body[:TEXT_CHARACTERS_MAX].decode(errors="replace")
        raise HistoryError(f"{vendor} answered no JSON ({error}): {text!r}", reason="malformed") from error
    return content


def _fetch(request: urllib.request.Request, vendor: str, timeout_s: float, clock: Clock) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect)
    place = urllib.parse.urlsplit(request.full_url).path
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            body: bytes = answer.read(ANSWER_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error, vendor, place, clock) from None
    except (OSError, HTTPException) as error:
        raise HistoryError(f"{vendor} {place}: no answer ({error}); check the network", reason="unavailable") from error
    if len(body) > ANSWER_BYTES_MAX:
        raise HistoryError(f"{vendor} {place}: more than {ANSWER_BYTES_MAX} bytes; ask for less", reason="malformed")
    return body


def _refusal(error: urllib.error.HTTPError, vendor: str, place: str, clock: Clock) -> HistoryError:
    try:
        said = error.read(ANSWER_BYTES_MAX).decode(errors="replace")
    except (OSError, HTTPException) as problem:
        said = f"(its text was cut off: {problem})"
    reason: Reason = STATUS_REASONS.get(error.code, "unavailable" if error.code >= SERVER_FAULT_FIRST else "refused")
    text = f"{vendor} {place}: status {error.code} {_message(said)!r}"
    return HistoryError(text, reason=reason, wait_s=_retry_after_s(error.headers.get("Retry-After"), clock))


def _message(said: str) -> str:
    """Return the vendor's own words out of its JSON, or the beginning of whatever it is."""
    try:
        content = json.loads(said)
    except ValueError:
        return said.strip()[:TEXT_CHARACTERS_MAX]
    if isinstance(content, dict):
        content = content.get("message") or content.get("detail") or content
    return str(content)[:TEXT_CHARACTERS_MAX]


def _retry_after_s(text: str | None, clock: Clock) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, as a number or as a date; None where there is none."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return max(0.0, aware.timestamp() - clock.now_ns() / NANOS_PER_SECOND)
    return seconds if math.isfinite(seconds) and seconds >= 0.0 else None
