"""One endpoint while questions are asked of it: the openai client, bounded in every direction."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headtorch.core.explain.llm.dialect import Dialect
from headtorch.core.explain.llm.faults import LONGEST_WAIT, Fault, Place, bad_url, fault_of, page
from headtorch.core.explain.llm.questions import Answer, Question, Unanswered
from headtorch.core.explain.llm.reading import most_bytes, read_completion, read_stream, too_much
from headtorch.core.settings import LlmAccess

if TYPE_CHECKING:
    import openai

Heard = Callable[[Callable[[], str]], None]

_WHOLE = 10  # an answer may take so many times the seconds that it may be silent
_CONNECT = 20.0  # seconds at most
_NO_KEY = "none"  # servers on the own machine want a key but look at none
_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")


class Endpoint:
    """Asks one endpoint, once for every call of `answer`; whoever asks keeps count of calls.

    base_url: with the key in the environment variable `key_name`, which other hosts than OpenAI's may do without
    secrets: what no reason and no answer may hold
    dialects: by model, what it is sent; kept by the caller for the next time
    max_tokens: of the longest answer to be expected
    """

    def __init__(
        self,
        base_url: str,
        access: LlmAccess,
        *,
        key_name: str,
        secrets: Iterable[str],
        dialects: Callable[[str], Dialect],
        max_tokens: int,
    ) -> None:
        self.base_url = base_url.strip()
        self.works = False  # it has answered since the last question that it was too far down for
        self.failing: set[str] = set()  # models whose last question it failed at every attempt
        self.given_up: dict[str, Unanswered] = {}  # by model: what every further question would end with
        self._access = access
        self._key_name = key_name
        self._key = os.environ.get(key_name, "").strip()
        self._secrets = tuple(secrets)
        self._dialects = dialects
        self._most_bytes = most_bytes(max_tokens)
        self.not_before = 0.0  # on the clock of time.monotonic
        self._client: openai.AsyncOpenAI | None = None

    async def close(self) -> None:
        """Let go of all connections."""
        if self._client is not None:
            await self._client.close()

    def place(self, model: str) -> Place:
        """What a reason names."""
        return Place(self.base_url, model, self._key_name, bool(self._key), self._access.timeout, self._secrets)

    def pause(self, seconds: float) -> None:
        """Begin no call for so long."""
        self.not_before = max(self.not_before, time.monotonic() + min(seconds, LONGEST_WAIT))

    async def ready(self) -> None:
        """Return when calls may begin."""
        while (left := self.not_before - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def answer(self, question: Question, heard: Heard) -> Answer:
        """Ask, and ask again without what the endpoint does not know of the protocol. Raises Fault."""
        place = self.place(question.model)
        client = self._opened(place)
        try:
            async with asyncio.timeout(_WHOLE * self._access.timeout):
                answer = await self._answer(client, question, place, heard)
        except Exception as error:
            fault = fault_of(error, place)
            if fault is None:
                raise
            if not fault.again:
                self._is_at_work(question.model)
            raise fault from None
        self._is_at_work(question.model)
        return answer

    def _is_at_work(self, model: str) -> None:
        self.works = True
        self.failing.discard(model)

    async def _answer(self, client: openai.AsyncOpenAI, question: Question, place: Place, heard: Heard) -> Answer:
        import openai

        create: Any = client.chat.completions.create
        dialect = self._dialects(question.model)
        while True:
            request = dialect.request(question)
            try:
                response = await create(**request)
            except openai.APIStatusError as error:
                if dialect.learns(request, error.status_code, error.body):
                    continue
                raise
            if "stream" not in request:
                return read_completion(response, question, place)
            async with response as stream:
                kind = stream.response.headers.get("content-type", "")
                if "json" not in kind:
                    if "html" in kind:
                        raise page(place)
                    return await read_stream(stream, question, place, heard)
            dialect.stream = False  # it sent the whole answer at once, which the client does not read as a stream

    def _opened(self, place: Place) -> openai.AsyncOpenAI:
        if self._client is None:
            fault = url_fault(place) or self._key_fault(place)
            if fault is not None:
                raise fault
            try:
                self._client = self._new_client()
            except Exception as error:
                raise _client_fault(error, place) from None
        return self._client

    def _new_client(self) -> openai.AsyncOpenAI:
        import openai

        for name in _LOGGERS:  # they tell of addresses, headers and prompts
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        timeout = openai.Timeout(self._access.timeout, connect=min(self._access.timeout, _CONNECT))
        http_client = openai.DefaultAsyncHttpxClient(
            timeout=timeout,
            follow_redirects=False,  # a key goes where the user said
            headers={"Accept-Encoding": "identity"},  # a small compressed answer may be a large one
            event_hooks={"response": [self._bound]},
        )
        client = openai.AsyncOpenAI(
            api_key=self._key or _NO_KEY,
            base_url=self.base_url,
            timeout=timeout,
            max_retries=0,
            http_client=http_client,
        )
        if not is_openai(self.base_url):
            client.organization = client.project = None  # of the environment, and nobody else's business
        return client

    async def _bound(self, response: Any) -> None:
        """Before the body of a response is read: it is plain, and no longer than an answer can be."""
        place = self.place("")
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise Fault(f"{place.url} compresses what it sends", "have it send plain text", final=True)
        response.stream = _bounded(response, self._most_bytes, place)

    def _key_fault(self, place: Place) -> Fault | None:
        if not self._key:
            if not is_openai(self.base_url):
                return None
            return Fault(
                f"{place.url} wants a key, and the environment variable {self._key_name} is not set",
                "set it to your key, or give the base_url of another endpoint",
                final=True,
            )
        if self._key.isascii() and self._key.isprintable() and " " not in self._key:
            return None
        return Fault(f"{self._key_name} holds characters that no key has", "set it to the key alone", final=True)


def is_openai(base_url: str) -> bool:
    """Whether an address is OpenAI's own."""
    host = urlsplit(base_url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def url_fault(place: Place) -> Fault | None:
    """What is wrong with a base_url, as far as its spelling tells."""
    try:
        parts = urlsplit(place.base_url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        valid = valid and place.base_url.isprintable() and " " not in place.base_url
    except ValueError:
        return bad_url(place)
    if parts.username is not None or parts.password is not None:
        return Fault(
            f"The base_url {place.url} holds a user name or password",
            "leave it out, and put the key into an environment variable",
            final=True,
        )
    return None if valid else bad_url(place)


def _client_fault(error: Exception, place: Place) -> Fault:
    """Why there is no client: what it takes from the environment, or its own idea of an address."""
    if isinstance(error, OSError):  # of the ssl module too
        what = "The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read"
        return Fault(what, "correct or unset them", final=True)
    if isinstance(error, ImportError | ValueError):
        what = "The proxy that ALL_PROXY, HTTP_PROXY or HTTPS_PROXY names cannot be used"
        return Fault(what, "name one that begins with http://", final=True)
    return bad_url(place)


def _bounded(response: Any, limit: int, place: Place) -> Any:
    """The stream of a response's bytes, ending in a Fault after `limit` of them."""
    http = sys.modules[type(response).__module__.partition(".")[0]]  # httpx, or the fork that newer clients use
    stream = response.stream

    class Bounded(http.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = limit
            async for data in stream:
                left -= len(data)
                if left < 0:
                    raise too_much(place)
                yield data

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()
