"""The report as one HTML file: no request, no script needed to read it, every text visible and inert."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from headtorch.core.settings import Settings, changed_settings
from headtorch.core.study.report import phrases, pooled
from headtorch.core.study.report.contents import Report, other_notes
from headtorch.core.study.report.html.causes import causes_by_neuron
from headtorch.core.study.report.html.charts import dot_rows, forest
from headtorch.core.study.report.html.claims import CLAIMS
from headtorch.core.study.report.html.compact import compact
from headtorch.core.study.report.html.heatmap import contribution_bar, heat_map, map_frames
from headtorch.core.study.report.html.kwic import activation_line, head_line
from headtorch.core.study.report.method import BIBTEX, LIMITS, formulas, method_notes
from headtorch.core.study.report.parts import CitedPrompt, HeadPart
from headtorch.core.study.report.people import human_scores
from headtorch.core.study.report.provenance import computed_on, setting
from headtorch.core.study.report.selected import in_full, in_rows
from headtorch.core.text import visible, visible_token

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SIGN = re.compile(r"(?<![\w&])([A-Za-zĀ-ω])(?:_(\w+|\{[^}]*\}))?(?![\w;])")
HEADS_LISTED = 8
TEMPLATES = Path(__file__).parents[1] / "templates"


def to_html(report: Report) -> str:
    """The whole report. Its policy allows the style and the script that are in it, and nothing else at all."""
    style, script = _source("report.css"), _source("report.js")
    page = _environment().get_template("page.html")
    return page.render(
        report=report,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
        method_notes=method_notes(tested=report.verdict.tested),
        limits=LIMITS,
        bibtex=escape(BIBTEX),
        causes=causes_by_neuron(report.cause),
        about_some=phrases.ABOUT_SOME,
        own_settings=set(changed_settings(Settings(), report.settings)),
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=_number,
        power=_power,
        percent=phrases.percent,
        signed=_signed,
        token=visible_token,
        seconds=_seconds,
        setting=setting,
        formula=_formula,
        indexed=_indexed,
        compact=compact,
    )
    made.globals.update(
        forest=forest,
        dot_rows=dot_rows,
        heat_map=heat_map,
        contribution_bar=contribution_bar,
        activation_line=activation_line,
        head_line=head_line,
        map_frames=map_frames,
        human_scores=human_scores,
        other_notes=other_notes,
        computed_on=computed_on,
        formulas=formulas,
        by_index=_by_index,
        heads_listed=_heads_listed,
        in_full=in_full,
        in_rows=in_rows,
        pooled_in_words=pooled.pooled_in_words,
        pooled_title=pooled.TITLE,
        ks_rows=pooled.ks_rows,
        ks_pooled=pooled.ks_pooled,
        ks_title=pooled.KS_TITLE,
        ks_about=pooled.KS_ABOUT,
        **CLAIMS,
    )
    return made


def _inert(value: object) -> object:
    """Runs over every expression of every template before it is escaped, so that no text can be forgotten."""
    return value if isinstance(value, Markup) else visible(str(value))


def _by_index(prompts: Sequence[CitedPrompt]) -> dict[int, CitedPrompt]:
    return {prompt.index: prompt for prompt in prompts}


def _heads_listed(heads: Sequence[HeadPart], told: Sequence[HeadPart]) -> list[HeadPart]:
    """The strongest and those told in full: what stands beside the map."""
    known = [head for head in heads if head.summary is not None]
    return [head for place, head in enumerate(known) if place < HEADS_LISTED or head in told]


def _formula(text: str) -> Markup:
    """Signs of one letter slanted, what stands behind _ as their index."""
    return Markup(_SIGN.sub(_sign, str(escape(visible(text)))))


def _indexed(text: str) -> Markup:
    """Prose, in which only signs with an index are set as signs."""
    return Markup(_SIGN.sub(lambda found: _sign(found) if found[2] else found[0], str(escape(visible(text)))))


def _sign(found: re.Match[str]) -> str:
    sign = found[1] if found[1] in "ΣΔ" else f"<var>{found[1]}</var>"
    return f"{sign}<sub>{found[2].strip('{}')}</sub>" if found[2] else sign


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)}; base-uri 'none'; "
        "form-action 'none'"
    )


def _number(value: float | None, digits: int = 2) -> str:
    return phrases.number(value, digits).replace("-", "−")


def _signed(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "–"
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "−") if rounded else f"{0:.{digits}f}"


def _power(value: float | None) -> str:
    """Two significant digits, 1.1·10⁻⁶ where they stand far behind the point."""
    if value is None:
        return "–"
    if not value or abs(value) >= 0.001:
        return f"{value:.2g}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}·10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def _seconds(value: float) -> str:
    if value < 60:
        return f"{value:.1f}\u00a0s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}\u00a0min {rest}\u00a0s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
