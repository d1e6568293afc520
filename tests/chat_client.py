"""Questions to a ChatServer, and the replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chat_server import ChatServer

from headtorch.core.explain.llm.cache import AnswerCache
from headtorch.core.explain.llm.chat import Chat
from headtorch.core.explain.llm.ledger import Ledger
from headtorch.core.explain.llm.questions import Answer, ChatMessage, Question, Reply, Schema, Unanswered
from headtorch.core.settings import LlmAccess
from headtorch.core.watch import SILENT, Watch

SCHEMA = Schema("verdict", {"type": "object", "properties": {"active": {"type": "boolean"}}, "required": ["active"]})


def question(
    server: ChatServer | str,
    text: str = "Is it active?",
    *,
    model: str = "small",
    schema: Schema | None = None,
    temperature: float | None = 0.0,
    max_tokens: int = 64,
    on_text: Callable[[str], None] | None = None,
) -> Question:
    """What is asked of a server, or of an address."""
    return Question(
        base_url=server if isinstance(server, str) else server.base_url,
        model=model,
        messages=(ChatMessage("system", "Answer."), ChatMessage("user", text)),
        schema=schema,
        temperature=temperature,
        max_tokens=max_tokens,
        on_text=on_text,
    )


def chat(
    *,
    attempts: int = 2,
    timeout: float = 5.0,
    concurrency: int = 8,
    cache: AnswerCache | None = None,
    ledger: Ledger | None = None,
    watch: Watch = SILENT,
    judge_base_url: str | None = None,
    judge_api_key_env: str | None = None,
) -> Chat:
    """A chat whose keys are in the variables named here, and whose ledger knows no price and no cap."""
    access = LlmAccess(
        api_key_env="TEST_KEY",
        judge_api_key_env=judge_api_key_env,
        attempts=attempts,
        timeout=timeout,
        concurrency=concurrency,
    )
    book = Ledger(prices={}) if ledger is None else ledger
    return Chat(access, cache=cache, ledger=book, watch=watch, judge_base_url=judge_base_url)


def replies(chat: Chat, questions: Sequence[Question]) -> list[Reply]:
    """All replies, in the order of the questions."""
    found = dict(chat.ask(questions))
    return [found[place] for place in range(len(questions))]


def reply(chat: Chat, asked: Question) -> Reply:
    """The reply to one question."""
    [found] = replies(chat, [asked])
    return found


def answer(chat: Chat, asked: Question) -> Answer:
    """The answer to a question that must have one."""
    found = reply(chat, asked)
    assert isinstance(found, Answer), found
    return found


def unanswered(chat: Chat, asked: Question) -> Unanswered:
    """The reply to a question that cannot have an answer."""
    found = reply(chat, asked)
    assert isinstance(found, Unanswered), found
    return found
