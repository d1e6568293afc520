"""A language model's endpoint on loopback, for tests: chat completions as the real ones speak it, and what goes wrong.

    with ChatServer("yes") as server:                                # or a function of the request's JSON
        Chat(...).ask([Question(base_url=server.base_url, ...)])
        assert server.requests[0]["model"] == "m"

What a function answers is a str, a `Said` (an answer in full control), or a `Fault`.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """An answer. `finish_reason` None is a stream that stops in the middle, without [DONE]."""

    text: str | None
    finish_reason: str | None = "stop"
    refusal: str | None = None
    counted: bool = True  # the answer says how many tokens were used
    pieces: Sequence[str] | None = None  # of the text, as a stream sends it; word by word if not given
    pause: float = 0.0  # seconds between pieces
    alternatives: Sequence[Mapping[str, float]] | None = None  # for each token of the answer, by probability; the
    # first of each is the token itself, and they are only told to who asks for log probabilities


@dataclass(frozen=True)
class Fault:
    """Anything else. The body is sent as JSON if it is a dict, and as it is if not."""

    status: int = 200
    body: Json | str | bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    silence: float = 0.0  # seconds before the first byte
    drop: int | None = None  # close the connection after so many bytes of the body; 0: before the status line
    endless: bytes = b""  # sent again and again after the body, until the caller hangs up
    pause: float = 0.0  # seconds between these


Reply = str | Said | Fault
Answer = Callable[[Json], Reply]


def refused(status: int, message: str, *, code: str | None = None, retry_after: str | None = None) -> Fault:
    """An error as OpenAI words it."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Fault(status, {"error": {"message": message, "type": "error", "param": None, "code": code}}, headers)


def in_turn(*replies: Reply) -> Answer:
    """One reply after the other, then the last one for ever."""
    left = list(replies)
    lock = threading.Lock()

    def answer(_request: Json) -> Reply:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return answer


class ChatServer:
    """The endpoint. `refuses` names parameters of a request that it does not know and answers with 400."""

    def __init__(self, answer: Reply | Answer = "yes", *, delay: float = 0.0, refuses: Sequence[str] = ()) -> None:
        self.answer: Answer = answer if callable(answer) else lambda _request: answer
        self.delay = delay  # seconds that an answer takes
        self.refuses = tuple(refuses)
        self.requests: list[Json] = []  # the JSON that was asked, refused parameters included
        self.headers: list[dict[str, str]] = []  # of these requests, names in lower case
        self.times: list[float] = []  # when they came
        self.running = 0  # requests being answered now
        self.max_running = 0
        self.connections = 0  # open now
        self.bytes_sent = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="chat-server")

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def calls(self) -> int:
        return len(self.requests)

    def reply(self, request: Json) -> Reply:
        """What is answered, after `delay`."""
        unknown = next((name for name in self.refuses if name in request), None)
        if unknown is not None:
            instead = " Use 'max_completion_tokens' instead." if unknown == "max_tokens" else ""
            return refused(400, f"Unsupported parameter: '{unknown}' is not supported with this model.{instead}")
        self.closing.wait(self.delay)
        return self.answer(request)

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    endpoint: ChatServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._count("connections", 1)

    def finish(self) -> None:
        self._count("connections", -1)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing to standard error."""

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/v1/chat/completions":
            return self._send(Fault(404, {"detail": "Not Found"}))
        request = json.loads(body)
        with endpoint.lock:
            endpoint.requests.append(request)
            endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
            endpoint.times.append(time.monotonic())
        self._count("running", 1)
        try:
            reply = endpoint.reply(request)
            if isinstance(reply, str):
                reply = Said(reply)
            if isinstance(reply, Fault):
                self._send(reply)
            elif request.get("stream"):
                self._stream(request, reply)
            else:
                self._send(Fault(200, _completion(request, reply)))
        except OSError:
            self.close_connection = True
        finally:
            self._count("running", -1)

    def do_GET(self) -> None:
        self._send(Fault(404, {"detail": "Not Found"}))

    def _send(self, fault: Fault) -> None:
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        self.server.endpoint.closing.wait(fault.silence)
        if fault.drop == 0:
            return self._hang_up()
        self.send_response(fault.status)
        for name, value in {"Content-Type": "application/json", **fault.headers}.items():
            self.send_header(name, value)
        if fault.endless:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self._write(data if fault.drop is None else data[: fault.drop])
        if fault.drop is not None:
            return self._hang_up()
        while fault.endless and not self.server.endpoint.closing.wait(fault.pause):
            self._write(fault.endless)

    def _stream(self, request: Json, said: Said) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in _chunks(request, said):
            data = f"data: {json.dumps(chunk)}\n\n".encode()
            self._write(b"%x\r\n%s\r\n" % (len(data), data))
            self.server.endpoint.closing.wait(said.pause)
        if said.finish_reason is not None:
            self._write(b"e\r\ndata: [DONE]\n\n\r\n")
        self._write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self._count("bytes_sent", len(data))

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def _count(self, name: str, by: int) -> None:
        endpoint = self.server.endpoint
        with endpoint.lock:
            setattr(endpoint, name, getattr(endpoint, name) + by)
            endpoint.max_running = max(endpoint.max_running, endpoint.running)


def tokens_of(request: Json, text: str | None) -> tuple[int, int]:
    """What the server counts as prompt and completion tokens: words."""
    return sum(len(message["content"].split()) for message in request["messages"]), len((text or "").split())


def _usage(request: Json, said: Said) -> Json | None:
    prompt, completion = tokens_of(request, said.text)
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return counts if said.counted else None


def _completion(request: Json, said: Said) -> Json:
    message = {"role": "assistant", "content": said.text, "refusal": said.refusal}
    choice: Json = {"index": 0, "message": message, "finish_reason": said.finish_reason}
    if request.get("logprobs") and said.alternatives is not None:
        choice["logprobs"] = {"content": [_token(one, request["top_logprobs"]) for one in said.alternatives]}
    completion: Json = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [choice],
    }
    return completion if not said.counted else completion | {"usage": _usage(request, said)}


def _token(alternatives: Mapping[str, float], most: int) -> Json:
    told = [
        {"token": text, "logprob": math.log(p) if p else -9999.0, "bytes": list(text.encode())}
        for text, p in alternatives.items()
    ]
    likeliest = sorted(told, key=lambda one: -one["logprob"])[:most]  # type: ignore[operator]
    return {**told[0], "top_logprobs": likeliest}


def _chunks(request: Json, said: Said) -> Iterator[Json]:
    def chunk(choices: list[Json], **more: Any) -> Json:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": request["model"]}
        return {**head, "choices": choices, **more}

    def delta(delta: Json, finish_reason: str | None = None) -> Json:
        return chunk([{"index": 0, "delta": delta, "finish_reason": finish_reason}])

    yield delta({"role": "assistant", "content": ""})
    words = (said.text or "").split(" ")
    pieces = said.pieces if said.pieces is not None else [w + " " for w in words[:-1]] + words[-1:]
    for piece in pieces:
        yield delta({"content": piece})
    if said.refusal is not None:
        yield delta({"refusal": said.refusal})
    if said.finish_reason is not None:
        yield delta({}, said.finish_reason)
    if said.counted and (request.get("stream_options") or {}).get("include_usage"):
        yield chunk([], usage=_usage(request, said))
