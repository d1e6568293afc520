"""Pane 2: the prompts on which the neuron fires most, aligned where it fires, each token shaded."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from headtorch.core.records import NeuronId, Prompt
from headtorch.core.text import visible, visible_token
from headtorch.tui.claims import SPLITS
from headtorch.tui.keymap import bindings
from headtorch.tui.palette import Palette
from headtorch.tui.panes.prompt_rows import PromptRow, PromptRows, prompt_rows
from headtorch.tui.selection import ShadingMode
from headtorch.tui.session import Session
from headtorch.tui.topics import Topic
from headtorch.tui.widgets.cells import Piece, crop, fit, number
from headtorch.tui.widgets.lines import Lines

FRONT = 2  # cells of the cursor and of the mark of a lower bin
STEP = 8  # cells that a key shifts the text by
WIDE = 90  # from here on one row at the bottom holds all about the prompt

HELP = """\
One prompt a line, strongest first; the neuron fires on its last token. → is the token that really comes next, bold \
where it is the neuron's own token; ⊣ is the end of a document. P is the model's probability of the neuron's token \
there, whatever comes next.
The number in front is the activation on the tokens kept. ↓: drawn from a lower bin of the activation histogram, where \
the neuron fires less or not at all; such prompts give a head that is otherwise always active something to miss.
●: the selected head is active there, ○: it is not, blank: not labelled. ▼ and ▽ say the same of a head that lowers \
the neuron. Where claims are tested, labels are made on firing places, which the Evidence tab lists; these prompts \
have them by the same rule, where attribution is what labels go by.
⊢ is the model's own first token. … stands for text that is cut off.

Shading: by the neuron's activation on every token, as a share of its largest on these prompts; by what the \
selected head took from each token (sources: warm raises the neuron, cold lowers it), as a share of the largest on \
these prompts; or by the head's attention in the same way. First tokens do not count for the largest, \
since heads rest on them.
The strongest token of a prompt is bold and underlined.
Shown are the tokens kept, or whole contexts. "6 of 212 tok": 6 tokens are enough to keep the activation.
train, held-out: the split of the prompt's document; explanations are learned on one and tested on the other.
so far: the scan goes on, and better prompts may come."""


class PromptsPane(Lines):
    """The list of prompts. It posts Moved and Chosen as every list does, and a wish of its own."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("list", "prompts")]

    number = 2
    topics: frozenset[Topic] = frozenset({"prompts", "study"})
    help = HELP
    header_height = 1

    class SearchWanted(Message):
        """The user wants to type what to search for; `set_search` takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.search_text = ""
        self._data = PromptRows([], "activation", False, None, False)
        self._matches: dict[int, set[int]] = {}  # by line, the tokens that match
        self._shift = 0
        self._target: str | None = None
        self._target_id: int | None = None
        self._neuron: NeuronId | None = None
        self._selection: tuple[NeuronId | None, int] = (None, 0)
        self._subtitle = Text()

    # what it tells others

    @property
    def selected_prompt(self) -> Prompt | None:
        """The prompt under the cursor, from a lower bin too."""
        row = self._row_at(self.cursor)
        return row.prompt if row else None

    def copy_text(self) -> str:
        """The raw text of the prompt, as much of it as is shown."""
        row = self._row_at(self.cursor)
        return row.text if row else ""

    def _row_at(self, index: int) -> PromptRow | None:
        return self._data.rows[index] if 0 <= index < len(self._data.rows) else None

    # what it shows

    def show(self, session: Session) -> None:
        """The prompts of the selected neuron; the cursor stays on its prompt while better ones come in."""
        before, chosen = self.selected_prompt, session.selection
        found = session.row()
        self._target = found.token if found else None
        self._target_id = found.token_id if found else None
        if self._neuron != chosen.neuron:
            self._neuron, self._shift, before = chosen.neuron, 0, None
        selection = (chosen.neuron, chosen.prompt)
        place = chosen.prompt if selection != self._selection else None
        self._selection = selection
        self._data = prompt_rows(session)
        self._matches = self._find(self.search_text)
        stays = self._place_of(before) if place is None or place == self.cursor else place
        moved = stays is not None and stays != chosen.prompt and before is not None
        self._write_titles(session)
        self.lines_changed(stays if stays is not None else chosen.prompt)
        if moved:
            self.post_message(self.Moved(self, self.cursor))

    def _place_of(self, prompt: Prompt | None) -> int | None:
        if prompt is None:
            return None
        key = (prompt.document, prompt.position)
        places = ((row.prompt.document, row.prompt.position) for row in self._data.rows)
        return next((at for at, place in enumerate(places) if place == key), None)

    def _write_titles(self, session: Session) -> None:
        target = "" if self._target is None else f" → {visible_token(self._target)}"
        parts = ["so far"] if self._data.so_far else []
        head = session.selection.head
        if self._data.rows and not self._data.so_far:
            parts.append(_shaded_by(self._data.mode, head) if self._data.shaded else _unshaded(session))
            if self._data.activity is not None:
                parts.append(_counts(self._data))
        if session.selection.full:
            parts.append("full")
        self.set_titles(Text(f"2 Prompts{target}"), Text(" · ".join(parts)))

    def line_count(self) -> int:
        """Prompts."""
        return len(self._data.rows)

    def empty_text(self) -> str:
        """Why there is nothing."""
        return "Select a neuron." if self._neuron is None else "No prompts yet; they come with the scan."

    def draw_header(self, width: int) -> Text:
        """What the numbers are."""
        follows = self._follows_cells(width)
        left = " " * FRONT + "act".rjust(self._data.activation_cells) + " " * (self._text_cells(width) + 4)
        return Text(f"{left}→ {fit('next', follows)}    P", self.palette.style("quiet"))

    def draw_line(self, index: int, width: int, selected: bool) -> Text:
        """A prompt: activation, the head's mark, the text up to the token that fires, what follows."""
        row, palette = self._data.rows[index], self.palette
        plain = palette.style("bright" if selected else "text", bold=selected)
        text = Text()
        text.append("▸" if selected else " ", palette.style("bright", bold=True))
        text.append("↓" if row.prompt.bin is not None else " ", palette.style("quiet"))
        text.append(number(row.prompt.activation, self._data.activation_cells), plain)
        text.append(" ")
        text.append(*self._mark(row, palette))
        text.append(" ")
        for piece in self._text_pieces(index, row, self._text_cells(width)):
            text.append(*piece)
        for piece in self._follow_pieces(row, width):
            text.append(*piece)
        return text

    def _mark(self, row: PromptRow, palette: Palette) -> Piece:
        if row.active is None or self._data.activity is None:
            return " ", palette.style("quiet")
        suppressing = self._data.activity.suppressing
        if not row.active:
            return "▽" if suppressing else "○", palette.style("quiet")
        return ("▼", palette.style("negative")) if suppressing else ("●", palette.style("lamp"))

    def _text_pieces(self, index: int, row: PromptRow, cells: int) -> list[Piece]:
        """The text in exactly `cells`, its end at the right edge unless it is shifted."""
        pieces = [(word, self._token_style(index, row, at)) for at, word in enumerate(row.words)]
        total = row.cells
        blank, cut = self.rich_style, self.palette.style("quiet")
        if total <= cells:
            return [(" " * (cells - total), blank), *pieces]
        shift = min(self._shift, total - cells)
        start, end = total - cells - shift, total - shift
        left, right = int(start > 0), int(shift > 0)
        kept = crop(pieces, start + left, end - right)
        return [("…" * left, cut), *kept, ("…" * right, cut)]

    def _token_style(self, index: int, row: PromptRow, at: int) -> Style:
        palette = self.palette
        if row.strengths is None:
            style = palette.style("text")
        elif self._data.mode == "sources":
            style = palette.signed_heat(row.strengths[at])
        else:
            style = palette.heat(row.strengths[at])
        if at == row.strongest:
            style += Style(bold=True, underline=True)
        if at in self._matches.get(index, ()):
            style += Style(reverse=True)
        return style

    def _follow_pieces(self, row: PromptRow, width: int) -> list[Piece]:
        palette, prompt = self.palette, row.prompt
        hit = prompt.next_token_id is not None and prompt.next_token_id == self._target_id
        follows = "⊣" if prompt.next_token is None else visible_token(prompt.next_token)
        style = palette.style("token", bold=True) if hit else palette.style("quiet")
        return [
            (" → ", palette.style("quiet")),
            (fit(follows, self._follows_cells(width)), style),
            (" " + number(row.probability, 4), palette.style("quiet")),
        ]

    def _follows_cells(self, width: int) -> int:
        return max(4, min(self._data.follows_cells, width // 7))

    def _text_cells(self, width: int) -> int:
        room = width - FRONT - self._data.activation_cells - 3 - self._follows_cells(width) - 9
        return max(1, min(room, self._data.text_cells))

    # about the prompt under the cursor

    def footer_height(self) -> int:
        """None without prompts or in a very low pane."""
        if not self._data.rows or self.size.height < 6:
            return 0
        return 1 if self.size.width >= WIDE else 2

    def draw_footer(self, row: int, width: int) -> Text:
        """Document and place; kept tokens, half, next token, and where the cursor is in the list."""
        chosen = self.selected_prompt
        if chosen is None:
            return Text()
        place, about = f"at {chosen.position:,}", " · ".join(self._about(chosen))
        if self.footer_height() == 1:
            room = width - cell_len(about) - cell_len(place) - 7
            words = f" {fit(visible(chosen.title), max(8, room)).rstrip()} · {place} · {about}"
        elif row == 0:
            words = f" {fit(visible(chosen.title), max(8, width - cell_len(place) - 5)).rstrip()} · {place}"
        else:
            words = f" {about}"
        return Text(words, self.palette.style("quiet"))

    def _about(self, prompt: Prompt) -> list[str]:
        kept, context = prompt.position - prompt.start + 1, prompt.position - prompt.window_start + 1
        parts = [f"{self.cursor + 1}/{self.line_count()}", f"{kept} of {context} tok", SPLITS[prompt.half]]
        if prompt.bin is not None:
            parts.append(f"bin {prompt.bin}")
        if self.search_text:
            parts.insert(0, f"/{visible(self.search_text)}: {len(self._matches)}")
        return parts

    # what the user does

    def action_shift(self, direction: int) -> None:
        """Shift long prompts: −1 shows more of their beginning."""
        room = self._text_cells(self.size.width)
        self._shift = max(0, min(self._shift - direction * STEP, self._data.text_cells - room))
        self.redraw()

    def set_search(self, text: str) -> None:
        """Mark what matches, and go to the first prompt that does from the cursor on."""
        self.search_text = text.strip()
        self._matches = self._find(self.search_text)
        self._go_to_match(self.cursor)

    def action_search(self) -> None:
        """Ask what to search for."""
        self.post_message(self.SearchWanted())

    def action_search_next(self) -> None:
        """To the next prompt that matches, round the end."""
        if not self.search_text:
            self.action_search()
        elif not self._matches:
            self.notify(f"Nothing matches {visible(self.search_text)}.", markup=False, severity="warning")
        else:
            self._go_to_match(self.cursor + 1)

    def _find(self, text: str) -> dict[int, set[int]]:
        wanted = visible(text).casefold()
        if not wanted:
            return {}
        found = {at: _matching_tokens(row.words, wanted) for at, row in enumerate(self._data.rows)}
        return {at: tokens for at, tokens in found.items() if tokens}

    def _go_to_match(self, start: int) -> None:
        if self._matches:
            count = self.line_count()
            index = min(self._matches, key=lambda at: (at - start) % count)
            self._reveal(self._data.rows[index], max(self._matches[index]))
            self.cursor = index
        self.redraw()

    def _reveal(self, row: PromptRow, token: int) -> None:
        """Shift so that the token is in view."""
        behind = sum(map(cell_len, row.words[token + 1 :]))
        room = self._text_cells(self.size.width)
        here = cell_len(row.words[token])
        if not self._shift <= behind <= self._shift + room - here - 2:
            self._shift = max(0, behind - (room - here) // 2)


def _matching_tokens(words: list[str], wanted: str) -> set[int]:
    whole = "".join(words).casefold()
    if len(whole) != sum(map(len, words)):  # folding changed lengths, as with ß: match token by token
        return {at for at, word in enumerate(words) if wanted in word.casefold()}
    owner = [at for at, word in enumerate(words) for _ in word]
    found: set[int] = set()
    start = whole.find(wanted)
    while start >= 0:
        found.update(owner[start : start + len(wanted)])
        start = whole.find(wanted, start + 1)
    return found


def _shaded_by(mode: ShadingMode, head: object) -> str:
    return {"activation": "shaded by activation", "sources": f"shaded by {head}", "attention": f"attention of {head}"}[
        mode
    ]


def _unshaded(session: Session) -> str:
    return "not shaded yet" if session.read_only is None else "its shading is not recorded"


def _counts(data: PromptRows) -> str:
    labels = [row.active for row in data.rows if row.active is not None]
    suppressing = data.activity is not None and data.activity.suppressing
    on, off = ("▼", "▽") if suppressing else ("●", "○")
    return f"{on} {sum(labels)} {off} {len(labels) - sum(labels)}" if labels else "no labels here"
