"""What goes wrong when a language model is asked: whether to ask again, and one sentence that says what to do."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from headtorch.core.explain.llm.cache import normal_url
from headtorch.core.explain.llm.questions import Unanswered, Usage
from headtorch.core.text import visible

LONGEST_WAIT = 60.0  # seconds; an endpoint that asks for more is asked again after this
_WORDS = 160  # characters quoted of what an endpoint says
_REASON = 600  # characters of a reason
_DEEPEST = 5  # lists and dicts inside each other, of an error
_SHORTEST_KEY = 8  # shorter ones are stand-ins such as "ollama", and would blot out plain words
_KEY_LIKE = re.compile(r"(?i)\bbearer\s+\S+|\bsk-[\w*.-]{4,}")
_PAGE = re.compile(r"^\s*<", re.ASCII)
_TOO_LONG = re.compile(r"(?i)context.{0,12}(length|size|window)|prompt is too long|too many tokens")


@dataclass(frozen=True)
class Place:
    """Where a question went, as far as a reason names it; `secrets` are what no text may hold."""

    base_url: str
    model: str
    key_name: str = ""  # the environment variable
    has_key: bool = True
    timeout: float = 60.0
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def url(self) -> str:
        return normal_url(self.base_url).partition("?")[0][:120]

    def scrub(self, text: str) -> str:
        """The text without keys, wherever they came from."""
        for secret in self.secrets:
            if len(secret) >= _SHORTEST_KEY:
                text = text.replace(secret, "[key]")
        return text


@dataclass(eq=False)
class Fault(Exception):
    """A question without an answer: what happened, and what to do."""

    what: str
    advice: str
    again: bool = False  # asking again may help
    final: bool = False  # every other question would end the same way
    unreachable: bool = False  # nothing was heard of the endpoint
    failed: bool = False  # the endpoint says that it went wrong there
    refused: bool = False  # by the model itself
    charged: bool = False  # the endpoint was at work and may charge for it, without a count
    usage: Usage | None = None  # what the endpoint counted all the same
    wait: float = 0.0  # seconds that the endpoint wants to be left alone

    @property
    def down(self) -> bool:
        """Whether other questions would not fare better for now."""
        return self.unreachable or self.wait > LONGEST_WAIT

    def unanswered(self, place: Place, attempts: int = 1) -> Unanswered:
        """The fault as a reply, after so many calls."""
        tries = f", asked {attempts} times" if attempts > 1 else ""
        reason = _KEY_LIKE.sub("[key]", place.scrub(f"{self.what}{tries}; {self.advice}."))
        shown = visible(" ".join(reason.split()))
        shown = shown if len(shown) <= _REASON else shown[: _REASON - 1] + "…"
        return Unanswered(shown, final=self.final, refused=self.refused, usage=self.usage)


def fault_of(error: Exception, place: Place) -> Fault | None:
    """What an exception of the client means; None for one that is no fault of the endpoint."""
    import openai

    if isinstance(error, Fault):
        return error
    if isinstance(error.__cause__, Fault):  # raised while the client read an answer
        return error.__cause__
    if isinstance(error, openai.APIStatusError):
        return _of_status(error.status_code, error, error.response.headers, place)
    if isinstance(error, openai.APIConnectionError):
        return _of_connection(error.__cause__ or error, place)
    if isinstance(error, openai.APIError):
        return error_object(error.body, place)
    if isinstance(error, TimeoutError):
        return Fault(
            f"{place.url} did not come to an end of its answer", "lower max_tokens or take another model", charged=True
        )
    if isinstance(error, ValueError | RecursionError):  # of reading JSON
        return garbled(place, "text that is not JSON in UTF-8")
    return None


def _of_status(status: int, error: Any, headers: Any, place: Place) -> Fault:
    words = words_of(error.body, place)
    said = f" ({status}: {words})" if words else f" ({status})"
    wait = retry_after(headers.get("retry-after"))
    if wait > LONGEST_WAIT:
        said += f" and wants to be left alone for {wait:.0f} s"
    if 300 <= status < 400:
        target = place.scrub(headers.get("location", ""))[:_WORDS]
        return Fault(
            f"{place.url} sends callers on to {target or 'another address'} ({status})",
            "give the final address as base_url",
            final=True,
        )
    if status == 402 or "insufficient_quota" in (error.code, error.type):
        return Fault(f"The account at {place.url} has no credit left{said}", "add credit and run again", final=True)
    if status in (408, 409, 425, 429):
        return Fault(
            f"{place.url} is asked too often or is busy{said}",
            "lower the concurrency or run again later",
            again=True,
            wait=wait,
        )
    if status >= 500:
        return Fault(f"{place.url} failed{said}", "run again later", again=True, failed=True, wait=wait)
    return _refused(status, said, words, place)


def _refused(status: int, said: str, words: str, place: Place) -> Fault:
    if status in (401, 403):
        if not place.has_key:
            return Fault(
                f"{place.url} wants a key{said}", f"put it into the environment variable {place.key_name}", final=True
            )
        return Fault(
            f"{place.url} refuses the key in {place.key_name}{said}",
            "check the key, and that it may use the model",
            final=True,
        )
    if status == 404:
        return Fault(
            f"{place.url} knows no model {place.model[:100]!r}{said}",
            "check the model's name and base_url, which mostly ends in /v1",
            final=True,
        )
    if status == 413 or _TOO_LONG.search(words):
        return Fault(
            f"The prompt is too long for {place.model[:100]!r} at {place.url}{said}",
            "give it fewer or shorter prompts, or take a model with a longer context",
        )
    return Fault(f"{place.url} does not take the question{said}", "check the model's name and its settings")


def _of_connection(cause: BaseException, place: Place) -> Fault:
    kind = type(cause).__name__  # of httpx, or of the fork that newer clients use
    said = f" ({words})" if (words := _plain(str(cause), place)) else ""
    if kind in ("UnsupportedProtocol", "InvalidURL", "LocalProtocolError"):
        return bad_url(place)
    if "CERTIFICATE_VERIFY_FAILED" in str(cause) or "certificate verify" in str(cause):
        return Fault(
            f"The certificate of {place.url} cannot be trusted{said}",
            "check base_url, or SSL_CERT_FILE for a certificate of your own",
            final=True,
        )
    if kind in ("ConnectError", "ConnectTimeout", "ProxyError"):
        return Fault(
            f"{place.url} cannot be reached{said}",
            "check the network, base_url, and that the server runs",
            again=True,
            unreachable=True,
        )
    if "Timeout" in kind:
        return Fault(
            f"{place.url} sent nothing for {place.timeout:g} s",
            "run again later, or raise the timeout",
            again=True,
            charged=True,
        )
    return Fault(f"{place.url} broke off the connection{said}", "run again later", again=True, charged=True)


def error_object(body: object, place: Place) -> Fault:
    """An error that came as the content of an answer, with the status in its code if anywhere."""
    code = body.get("code") if isinstance(body, dict) else None
    words = words_of(body, place)
    status = int(code) if isinstance(code, int | str) and re.fullmatch("[1-5][0-9][0-9]", str(code)) else 500
    return _of_status(status, _Error(body, str(code), None), {}, place) if words else garbled(place, "an error")


@dataclass(frozen=True)
class _Error:
    body: object
    code: str | None
    type: str | None


def garbled(place: Place, what: str) -> Fault:
    """An answer that cannot be read."""
    return Fault(
        f"{place.url} answered with {what} instead of a chat completion",
        "check base_url, which mostly ends in /v1, or run again later",
        again=True,
        charged=True,
    )


def page(place: Place) -> Fault:
    """A page for people, where a program was to answer."""
    return Fault(
        f"{place.url} answered with a page instead of a chat completion",
        "check base_url, which mostly ends in /v1",
        final=True,
    )


def bad_url(place: Place) -> Fault:
    """Not an address of an endpoint."""
    shown = place.base_url.rpartition("@")[2][:120]  # without user and password
    return Fault(
        f"{shown!r} is not an address that a language model can have",
        "give base_url as in http://localhost:8000/v1",
        final=True,
    )


def words_of(body: object, place: Place) -> str:
    """What the endpoint itself says of an error, short; empty for a page."""
    return _plain(message_of(body), place)


def message_of(body: object, depth: int = 0) -> str:
    """The message in an error's body, in any of the shapes in use; FastAPI's lists name the fields."""
    if isinstance(body, str):
        return "" if _PAGE.match(body) else body
    if depth == _DEEPEST:
        return ""
    if isinstance(body, list):
        return " ".join(message_of(each, depth + 1) for each in body[:5])
    if not isinstance(body, dict):
        return ""
    inner = next((body[key] for key in ("error", "message", "detail", "msg") if body.get(key)), None)
    message = message_of(inner, depth + 1)
    where = body.get("loc")
    parts = where if isinstance(where, list) else [body.get("param")]
    field_name = ".".join(part for part in parts if isinstance(part, str))
    return f"{field_name}: {message}" if field_name and field_name not in message else message


def _plain(text: str, place: Place) -> str:
    text = " ".join(_KEY_LIKE.sub("[key]", place.scrub(text)).split()).rstrip(".")
    return text if len(text) <= _WORDS else text[: _WORDS - 1] + "…"


def retry_after(value: str | None) -> float:
    """The seconds of a Retry-After header, a number or a date; 0 without one."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
