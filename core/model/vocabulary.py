"""Between text and token ids, through the model's own tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import cast

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from headtorch.core.errors import TokenError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
CHARACTER_OF = cast(dict[int, str], bytes_to_unicode())  # type: ignore[no-untyped-call]  # of a byte, in byte-level BPE
BYTE_OF = {character: byte for byte, character in CHARACTER_OF.items()}


class Vocabulary:
    """The tokens of a model: encoding without special tokens, and each token's own text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, d_vocab: int) -> None:
        self.tokenizer = tokenizer
        self.d_vocab = d_vocab
        self._texts: dict[int, str] = {}
        # A token is decoded behind this one: alone, SentencePiece tokenizers drop its leading space.
        self._anchor = self.encode("a")[-1:]
        self._anchor_text = self._decode(self._anchor)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, no special tokens added."""
        return [int(i) for i in cast(list[int], self.tokenizer.encode(text, add_special_tokens=False, verbose=False))]

    def text(self, token_id: int) -> str:
        """The text of one token, e.g. " States"; bytes that are no character by themselves read <0xE2>."""
        if token_id not in self._texts:
            self._texts[token_id] = self._text(token_id)
        return self._texts[token_id]

    def single(self, text: str) -> int:
        """The id of the token whose text is `text`.

        Raises:
            TokenError: it is several tokens; shows them and single tokens that differ in a space or a capital.
        """
        found = self._find(text)
        if found is not None:
            return found
        if not text:
            raise TokenError('The token is empty; give a text such as " States".')
        pieces = ", ".join(_quoted(self.text(i)) for i in self.encode(text))
        near = ", ".join(_quoted(other) for other in _variants(text) if self._find(other) is not None)
        advice = f"near single tokens: {near}" if near else "choose another token"
        count = len(self.encode(text))
        if count < 2:  # the tokenizer has a token for the unknown, or drops what it does not know
            raise TokenError(f"{_quoted(text)} is not in the vocabulary of this model; {advice}.")
        raise TokenError(f"{_quoted(text)} is not one token of this model but {count}: {pieces}; {advice}.")

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides how text becomes token ids."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            state: object = sorted(self.tokenizer.get_vocab().items())
        else:
            rules = json.loads(backend.to_str())
            state = {key: value for key, value in rules.items() if key not in ("truncation", "padding")}
        text = json.dumps([state, self.tokenizer.bos_token_id], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @cached_property
    def _ids(self) -> dict[str, int]:
        return self.tokenizer.get_vocab()

    def _find(self, text: str) -> int | None:
        ids = self.encode(text)
        # SentencePiece puts a space in front of what it encodes, so its tokens are looked up by their spelling.
        spellings = ("".join(CHARACTER_OF[b] for b in text.encode()), text.replace(" ", "\u2581"), text)
        spelled = (self._ids[spelling] for spelling in spellings if spelling in self._ids)
        for candidate in chain(ids[:1], spelled):
            if candidate < self.d_vocab and self.text(candidate) == text:
                return candidate
        return None

    def _text(self, token_id: int) -> str:
        behind = self._decode([*self._anchor, token_id])
        follows = behind.startswith(self._anchor_text)
        text = behind.removeprefix(self._anchor_text) if follows else self._decode([token_id])
        if REPLACEMENT not in text and text:
            return text
        piece = cast(str | None, self.tokenizer.convert_ids_to_tokens(token_id))
        if piece is None:
            return f"<{token_id}>"
        if all(character in BYTE_OF for character in piece) and not piece.startswith("<0x"):
            return "".join(f"<0x{BYTE_OF[character]:02X}>" for character in piece)
        return piece

    def _decode(self, ids: Sequence[int]) -> str:
        return cast(str, self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _variants(text: str) -> list[str]:
    """Texts that a reader may have meant: with and without the leading space, with and without the capital."""
    bare = text.strip()
    cased = dict.fromkeys([bare, bare[:1].upper() + bare[1:], bare.lower(), bare.upper()])
    return [v for v in dict.fromkeys([w for c in cased for w in (" " + c, c)]) if v != text and v.strip()]
