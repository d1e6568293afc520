"""Every command of the interface, declared once: bindings, footer, palette, help and the user's own keys follow.

A command belongs to one place: a screen, a pane, or "list" for all that have a cursor. Its id is `place.name`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding

from headtorch.tui.keys import key_name


@dataclass(frozen=True)
class Command:
    """One thing a key does. `help` is a whole phrase for the help and the palette; `label` the footer's word."""

    place: str
    name: str
    keys: str  # separated by commas, as Textual writes them
    action: str
    label: str
    help: str
    footer: bool = False
    shown_key: str | None = None
    palette: bool = True
    priority: bool = False  # taken before the focused field sees the key

    @property
    def id(self) -> str:
        """What the user's configuration calls it."""
        return f"{self.place}.{self.name}"


COMMANDS: tuple[Command, ...] = (
    # every list
    Command("list", "down", "j,down", "cursor(1)", "down", "one line down", palette=False),
    Command("list", "up", "k,up", "cursor(-1)", "up", "one line up", palette=False),
    Command("list", "half-page-down", "ctrl+d,pagedown", "half_page(1)", "half page down", "half a page down", palette=False),
    Command("list", "half-page-up", "ctrl+u,pageup", "half_page(-1)", "half page up", "half a page up", palette=False),
    Command("list", "first", "home,g", "first", "first", "to the first line (g twice works too)", palette=False),
    Command("list", "last", "G,end", "last", "last", "to the last line", palette=False),
    Command("list", "choose", "enter", "choose", "deeper", "go deeper", footer=True, shown_key="⏎", palette=False),
    # the workbench
    Command("workbench", "back", "escape,backspace", "back", "back", "go back up", footer=True, shown_key="esc"),
    Command("workbench", "next-pane", "tab", "next_pane(1)", "next pane", "focus the next pane"),
    Command("workbench", "previous-pane", "shift+tab", "next_pane(-1)", "previous pane", "focus the pane before"),
    Command("workbench", "pane-1", "1", "pane(1)", "neurons", "focus the neurons", palette=False),
    Command("workbench", "pane-2", "2", "pane(2)", "prompts", "focus the prompts", palette=False),
    Command("workbench", "pane-3", "3", "pane(3)", "heads", "focus the heads", palette=False),
    Command("workbench", "pane-4", "4", "pane(4)", "detail", "focus the detail", palette=False),
    Command("workbench", "go-to", "colon", "go_to", "go to", "go to a neuron (L3.N412), a head (L2.H4) or a token", footer=True, shown_key=":"),
    Command("workbench", "shading", "m", "cycle_shading", "shading", "shade tokens by activation, by what the head took from them, or by its attention", footer=True),
    Command("workbench", "full", "f", "toggle_full", "full text", "show prompts trimmed or with their whole context"),
    Command("workbench", "zoom", "z", "zoom", "zoom", "give the focused pane the whole screen"),
    Command("workbench", "explain", "e", "explain", "explain", "explain the selected head: by rules, by a language model, or in your own words", footer=True),
    Command("workbench", "hypothesis", "i", "hypothesis", "my own", "score a sentence or a pattern of your own on the selected head's unseen prompts"),
    Command("workbench", "explainer", "w", "next_explainer", "who", "show what the next explainer says of the selected head"),
    Command("workbench", "ablate", "a", "ablate", "ablate", "take the selected head away and see what changes", footer=True),
    Command("workbench", "joint", "J", "ablate_jointly", "jointly", "take the selected head away together with the next two strongest"),
    Command("workbench", "mediation", "M", "mediation", "mediation", "take the selected head away and see how much goes through the neuron, and what self-repair hides"),
    Command("workbench", "effects", "E", "effects", "effects", "measure what every head really does to the neuron"),
    Command("workbench", "cooperation", "C", "cooperation", "cooperation", "see whether the neuron's strongest heads need or replace each other"),
    Command("workbench", "spectrum", "V", "spectrum", "spectrum", "see what the selected head and the strongest others do at every strength of the neuron"),
    Command("workbench", "bookmark", "b", "bookmark", "mark", "set or take away a bookmark on the neuron"),
    Command("workbench", "note", "n", "note", "note", "write a note about the neuron, or the head of it"),
    Command("workbench", "try-text", "t", "try_text", "try text", "try a text of your own on the neuron and the head", footer=True),
    Command("workbench", "document", "o", "document", "document", "open the whole document at the prompt"),
    Command("workbench", "pairs", "d", "pairs", "pairs", "see firing places beside their matched places, what each head did in either, and rewritten texts", footer=True),
    Command("workbench", "copy", "y", "copy", "copy", "copy what the focused pane has selected"),
    Command("workbench", "export", "x", "export", "export", "write the report: choose formats, neurons and folder", footer=True),
    Command("workbench", "compare", "c", "compare", "compare", "compare the study with others"),
    Command("workbench", "restart-engine", "R", "app.restart_engine", "restart engine", "start the engine again after it ended"),
    Command("workbench", "stop", "ctrl+x", "stop_work", "stop", "stop the running work; what is finished is kept"),
    Command("workbench", "pick", "P", "app.pick", "new study", "pick another model, token or study"),
    # panes
    Command("neurons", "filter", "slash", "filter", "filter", "filter by token, layer (L3), kind or address", footer=True, shown_key="/"),
    Command("neurons", "sort", "s", "sort", "sort", "sort by the next column"),
    Command("neurons", "reverse", "S", "reverse", "reverse", "turn the order round"),
    Command("neurons", "all", "A", "toggle_all", "all neurons", "show every neuron of the layers, or the study's only"),
    Command("neurons", "random", "r", "toggle_random", "random", "show or hide the random neurons"),
    Command("prompts", "left", "h,left", "shift(-1)", "left", "shift long prompts to see their beginning", palette=False),
    Command("prompts", "right", "l,right", "shift(1)", "right", "shift long prompts back", palette=False),
    Command("prompts", "search", "slash", "search", "search", "search the prompts", footer=True, shown_key="/"),
    Command("prompts", "search-next", "N", "search_next", "next match", "to the next match"),
    Command("document", "back", "escape,backspace", "back", "back", "back to the prompts", footer=True, shown_key="esc"),
    Command("document", "next-place", "n", "next_place(1)", "next place", "to the next place where the neuron fires", footer=True),
    Command("document", "previous-place", "p", "next_place(-1)", "previous place", "to the place before where the neuron fires", footer=True),
    Command("document", "search", "slash", "search", "search", "search the document", footer=True, shown_key="/"),
    Command("document", "search-next", "N", "search_next", "next match", "to the next match"),
    Command("document", "copy", "y", "copy", "copy", "copy the paragraph under the cursor", footer=True),
    Command("pairs", "back", "escape,backspace,d", "back", "back", "back to the workbench", footer=True, shown_key="esc"),
    Command("pairs", "page", "tab", "page", "pairs or texts", "matched pairs, or rewritten texts", footer=True),
    Command("pairs", "next-wrong", "n", "next_wrong(1)", "next ✗", "to the next pair that the rule gets wrong", footer=True),
    Command("pairs", "previous-wrong", "N", "next_wrong(-1)", "✗ before", "to the pair before that the rule gets wrong"),
    Command("pairs", "copy", "y", "copy", "copy", "copy both texts of the pair", footer=True),
    Command("heads", "left", "h,left", "move(0,-1)", "left", "one head to the left", palette=False),
    Command("heads", "right", "l,right", "move(0,1)", "right", "one head to the right", palette=False),
    Command("heads", "up", "k,up", "move(1,0)", "up", "one layer up", palette=False),
    Command("heads", "down", "j,down", "move(-1,0)", "down", "one layer down", palette=False),
    Command("heads", "half-page-down", "ctrl+d,pagedown", "half_page(1)", "half page down", "half a page of layers down", palette=False),
    Command("heads", "half-page-up", "ctrl+u,pageup", "half_page(-1)", "half page up", "half a page of layers up", palette=False),
    Command("heads", "first", "home,g", "first", "top", "to the top layer", palette=False),
    Command("heads", "last", "G,end", "last", "bottom", "to the bottom layer", palette=False),
    Command("heads", "strongest", "s", "strongest", "strongest", "to the next strongest head"),
    Command("heads", "scope", "p", "scope", "one prompt", "all prompts, or the selected prompt only"),
    Command("heads", "measure", "v", "screen.cycle_measure", "numbers", "show attribution, exact effect, β, removal or weight-only prior", footer=True),
    Command("heads", "list", "L", "screen.toggle_grid", "list or grid", "list the heads that claims are about, or show every head as a grid"),
    Command("heads", "choose", "enter", "choose", "deeper", "look at the head's explanation", footer=True, shown_key="⏎", palette=False),
    Command("detail", "next-tab", "l,right", "tab(1)", "next tab", "the next tab", palette=False),
    Command("detail", "previous-tab", "h,left", "tab(-1)", "previous tab", "the tab before", palette=False),
    Command("detail", "down", "j,down", "scroll_lines(1)", "down", "scroll down", palette=False),
    Command("detail", "up", "k,up", "scroll_lines(-1)", "up", "scroll up", palette=False),
    # a line to type in
    Command("line", "cancel", "escape", "cancel", "back", "leave without a change", palette=False),
    Command("line", "next-suggestion", "down,ctrl+n", "suggestion(1)", "next", "walk down the suggestions", palette=False),
    Command("line", "previous-suggestion", "up", "suggestion(-1)", "previous", "walk up the suggestions", palette=False),
    Command("line", "complete", "tab", "complete", "complete", "put the suggestion on the line", palette=False),
    Command("detail", "half-page-down", "ctrl+d,pagedown", "half_page(1)", "half page down", "half a page down", palette=False),
    Command("detail", "half-page-up", "ctrl+u,pageup", "half_page(-1)", "half page up", "half a page up", palette=False),
    Command("detail", "first", "home,g", "first", "first", "to the first line", palette=False),
    Command("detail", "last", "G,end", "last", "last", "to the last line", palette=False),
    # how to explain a head, and what would be sent to a language model
    Command("explain", "choose", "enter,e", "choose", "explain", "explain as marked, at first as the last time", palette=False),
    Command("explain", "rules", "r,1", "take('rules')", "rules", "explain by rules, offline", palette=False),
    Command("explain", "llm", "l,2", "take('llm')", "language model", "ask a language model; you see what it takes before anything is sent", palette=False),
    Command("explain", "me", "i,3", "take('me')", "my own", "type a sentence or a pattern of your own", palette=False),
    Command("explain", "down", "j,down", "move(1)", "down", "one line down", palette=False),
    Command("explain", "up", "k,up", "move(-1)", "up", "one line up", palette=False),
    Command("explain", "back", "escape,backspace,q", "back", "back", "leave; nothing is explained", palette=False),
    Command("calls", "send", "enter", "send", "send", "ask the language model", palette=False),
    Command("calls", "texts", "v,tab", "texts", "texts", "the very texts that would be sent, or back to the numbers", palette=False),
    Command("calls", "down", "j,down", "scroll(1)", "down", "one line down", palette=False),
    Command("calls", "up", "k,up", "scroll(-1)", "up", "one line up", palette=False),
    Command("calls", "half-page-down", "ctrl+d,pagedown,space", "half_page(1)", "half page down", "half a page down", palette=False),
    Command("calls", "half-page-up", "ctrl+u,pageup", "half_page(-1)", "half page up", "half a page up", palette=False),
    Command("calls", "first", "g,home", "end(-1)", "top", "to the top", palette=False),
    Command("calls", "last", "G,end", "end(1)", "end", "to the end", palette=False),
    Command("calls", "back", "escape,backspace,q", "back", "back", "leave; nothing is sent", palette=False),
    Command("budget", "begin", "enter", "begin", "begin", "begin, or go on with, the study", palette=False),
    Command("budget", "next", "tab,down", "next_field(1)", "next", "to the other cap", palette=False),
    Command("budget", "previous", "shift+tab,up", "next_field(-1)", "previous", "to the other cap", palette=False),
    Command("budget", "look", "ctrl+l", "look", "look", "open the study as it is; nothing is asked", palette=False),
    Command("budget", "back", "escape", "back", "back", "leave; nothing is asked", palette=False),
    # a note
    Command("note", "save", "escape,ctrl+s,ctrl+enter", "save", "save", "save the note and leave; an empty note is taken away", palette=False),
    # the help
    Command("help", "close", "escape,q,question_mark,backspace,enter", "close", "close", "close the help", footer=True, shown_key="esc", palette=False),
    Command("help", "down", "j,down", "scroll(1)", "down", "one line down", palette=False),
    Command("help", "up", "k,up", "scroll(-1)", "up", "one line up", palette=False),
    Command("help", "half-page-down", "ctrl+d,pagedown,space", "half_page(1)", "half page down", "half a page down", palette=False),
    Command("help", "half-page-up", "ctrl+u,pageup", "half_page(-1)", "half page up", "half a page up", palette=False),
    Command("help", "first", "g,home", "end(-1)", "top", "to the top", palette=False),
    Command("help", "last", "G,end", "end(1)", "end", "to the end", palette=False),
    # a text of your own: while typing, and on the answer below
    Command("try-text", "back", "escape", "back", "back", "back to the workbench", footer=True, shown_key="esc", palette=False),
    Command("try-text", "switch", "tab,shift+tab", "switch", "text or answer", "from the text to the answer and back", footer=True, palette=False),
    Command("try-text", "keep", "ctrl+k", "keep", "keep", "keep this answer to compare with; again: compare with the one before", footer=True, priority=True),
    Command("try-typing", "ask", "enter,ctrl+enter", "ask", "try", "try the text now; a pause does it too", footer=True, shown_key="⏎", palette=False),
    Command("try-typing", "new-line", "shift+enter,alt+enter,ctrl+j", "new_line", "new line", "a new line in the text", palette=False),
    Command("try-answer", "left", "h,left", "move(-1)", "token", "one token to the left", footer=True, shown_key="h l", palette=False),
    Command("try-answer", "right", "l,right", "move(1)", "right", "one token to the right", palette=False),
    Command("try-answer", "first", "0,home", "end(-1)", "first", "to the first token", palette=False),
    Command("try-answer", "last", "dollar_sign,end", "end(1)", "last", "to the last token", palette=False),
    Command("try-answer", "down", "j,down", "scroll_lines(1)", "down", "scroll down", palette=False),
    Command("try-answer", "up", "k,up", "scroll_lines(-1)", "up", "scroll up", palette=False),
    Command("try-answer", "shading", "m", "shading", "shading", "shade tokens by activation, by what the head took from them, or by its attention", footer=True),
    Command("try-answer", "edit", "i,enter", "edit", "edit", "back to the text to change it", footer=True, shown_key="i"),
    # the pick screen
    Command("pick", "start", "enter", "start", "start", "begin the study", footer=True, shown_key="⏎", palette=False),
    Command("pick", "next", "tab", "next_field(1)", "next field", "to the next field or list", footer=True, palette=False),
    Command("pick", "previous", "shift+tab", "next_field(-1)", "previous field", "to the field or list before", palette=False),
    Command("pick", "down", "down", "suggestion(1)", "suggestion", "walk through the suggestions for a token", footer=True, shown_key="↓", palette=False),
    Command("pick", "up", "up", "suggestion(-1)", "suggestion before", "walk back through the suggestions", palette=False),
    Command("pick", "leave", "escape", "leave", "back", "back to the workbench", footer=True, shown_key="esc", palette=False),
    Command("choice", "next", "right,l,space", "step(1)", "next value", "the next value of the field", palette=False),
    Command("choice", "previous", "left,h", "step(-1)", "value before", "the value before", palette=False),
    # studies side by side
    Command("studies", "mark", "space", "mark", "mark", "mark the study, or take the mark away", footer=True, palette=False),
    Command("studies", "compare", "c", "compare", "compare", "put the marked studies side by side", footer=True),
    Command("compare-with", "back", "escape,backspace,q", "back", "back", "leave; nothing is compared", palette=False),
    Command("compare", "back", "escape,backspace", "back", "back", "leave the comparison; while it loads, stop it", footer=True, shown_key="esc"),
    Command("compare", "next-page", "tab", "next_page(1)", "page", "the next page", footer=True, palette=False),
    Command("compare", "previous-page", "shift+tab", "next_page(-1)", "page before", "the page before", palette=False),
    Command("compare", "page-1", "1", "page(1)", "scores", "the scores of all studies, and the settings that differ"),
    Command("compare", "page-2", "2", "page(2)", "neurons", "the neurons that two studies share"),
    Command("compare", "page-3", "3", "page(3)", "heads", "the heads of these neurons, one by one"),
    Command("compare", "page-4", "4", "page(4)", "consistency", "whether the same heads feed the neurons in both studies"),
    Command("compare", "first", "h,left", "side(0)", "A or B", "look at the first study of the two: Enter opens it", footer=True, shown_key="h l", palette=False),
    Command("compare", "second", "l,right", "side(1)", "second", "look at the second study of the two", palette=False),
    Command("compare", "pair", "p", "next_pair(1)", "pair", "the next two of the studies", footer=True),
    Command("compare", "previous-pair", "N", "next_pair(-1)", "pair before", "the two studies before"),
    Command("compare", "copy", "y", "copy", "copy", "copy the line of the cursor"),
    Command("compare", "export", "x", "export", "export", "write the comparison as Markdown or JSON", footer=True),
    # what to export
    Command("export", "write", "enter", "write", "export", "write the files", palette=False),
    Command("export", "next", "tab", "next_field(1)", "next", "to the next field", palette=False),
    Command("export", "previous", "shift+tab", "next_field(-1)", "previous", "to the field before", palette=False),
    Command("export", "mark", "space", "mark", "choose", "choose the format, or leave it out", palette=False),
    Command("export", "copy", "y", "copy", "copy", "copy the paths of the files written", palette=False),
    Command("export", "back", "escape", "back", "back", "leave; while files are made, stop", palette=False),
    # rating explanations, blind
    Command("rate", "active", "a", "judge(True)", "active", "the head is active on this prompt", footer=True, palette=False),
    Command("rate", "inactive", "i", "judge(False)", "inactive", "it is not", footer=True, palette=False),
    Command("rate", "unsure", "c", "judge(None)", "cannot say", "the explanation does not tell", footer=True, palette=False),
    Command("rate", "1", "1", "rate(1)", "1", "the explanation does not fit the examples at all", palette=False),
    Command("rate", "2", "2", "rate(2)", "2", "it fits badly", palette=False),
    Command("rate", "3", "3", "rate(3)", "3", "it fits in part", palette=False),
    Command("rate", "4", "4", "rate(4)", "4", "it fits well", palette=False),
    Command("rate", "5", "5", "rate(5)", "5", "it fits wholly", palette=False),
    Command("rate", "skip", "s,right", "step(1)", "skip", "leave this question for later", footer=True, palette=False),
    Command("rate", "back", "u,left,backspace", "step(-1)", "back", "back to the question before, to answer it again", footer=True, palette=False),
    Command("rate", "leave", "q,escape", "leave", "leave", "leave; every answer is kept", footer=True, palette=False),
    # everywhere
    Command("app", "help", "question_mark", "help", "help", "what the keys and columns of this pane mean", footer=True, shown_key="?"),
    Command("app", "theme", "T", "change_theme", "theme", "the next theme"),
    Command("app", "quit", "q", "quit", "quit", "leave; the study keeps everything", footer=True),
    Command("app", "quit-anywhere", "ctrl+q", "quit", "quit", "leave, out of a dialog or a text field too", footer=True, palette=False, priority=True),
)  # fmt: skip
BY_ID = {command.id: command for command in COMMANDS}


def key_of(name: str, keymap: Mapping[str, str] | None = None) -> str:
    """The first key in force for the command of this id, as a reader writes it; `keymap` is the user's own."""
    keys = (keymap or {}).get(name) or BY_ID[name].keys
    return key_name(keys.split(",")[0])


def bindings(*places: str) -> list[Binding]:
    """Textual's bindings of the commands of these places."""
    return [
        Binding(
            command.keys,
            command.action,
            command.label,
            show=command.footer,
            key_display=command.shown_key,
            id=command.id,
            tooltip=command.help,
            priority=command.priority,
        )
        for command in COMMANDS
        if command.place in places
    ]


def commands_of(*places: str) -> list[Command]:
    """The commands of these places, in the order declared."""
    return [command for command in COMMANDS if command.place in places]
