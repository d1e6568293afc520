"""A model's tokens from its tokenizer.json alone, for choosing one before the model is loaded. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headtorch.core.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


class TokensAtHand:
    """The texts of all tokens. What is one token here is one for the loaded model too, which has the last word."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        numbers = [number for number in sorted(tokenizer.get_vocab().values()) if number not in special]
        # A token is decoded behind another one: alone, SentencePiece tokenizers drop its leading space.
        self._anchor = tokenizer.encode("a", add_special_tokens=False).ids[-1:]
        before = tokenizer.decode(self._anchor)
        behind = tokenizer.decode_batch([[*self._anchor, number] for number in numbers])
        texts = [text[len(before) :] if text.startswith(before) else text for text in behind]
        self._texts = dict(zip(numbers, texts, strict=True))
        known = [text for text in texts if text and "\N{REPLACEMENT CHARACTER}" not in text]
        self._known = dict.fromkeys(known)  # in the order of the vocabulary: in most, the more frequent first
        self._folded = [(text.casefold(), text) for text in self._known]

    @classmethod
    def open(cls, folder: Path) -> TokensAtHand:
        """The tokens of a model folder. Raises ModelError where its tokenizer cannot be read without loading it."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str((folder / FILE).read_text(encoding="utf-8"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return cls(tokenizer)
        except OSError:
            raise ModelError(
                f"Tokens are looked up when the study starts: {folder} has no {FILE} that could be read."
            ) from None
        except Exception as error:  # tokenizers raises nothing more precise
            raise ModelError(f"{folder / FILE} is damaged or half-written, fetch it again.") from error

    def is_single(self, text: str) -> bool:
        """Whether the text is one token."""
        return text in self._known

    def pieces(self, text: str) -> list[str]:
        """The tokens that the text is made of, as texts."""
        numbers = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [self._texts.get(number, self._tokenizer.id_to_token(number) or "") for number in numbers]

    def suggestions(self, typed: str, limit: int = 6) -> list[str]:
        """Tokens that begin as `typed` does, whatever its capitals and its space in front.

        The text itself stands first, then the same with and without a space, then longer ones.
        """
        bare = typed.strip(" ").casefold()
        if not bare:
            return []
        wanted = (typed.casefold(), f" {bare}", bare)
        found = [text for folded, text in self._folded if folded.startswith(wanted)]
        found.sort(key=lambda text: (text != typed, text.strip(" ").casefold() != bare, text[:1] != " "))
        return found[:limit]
