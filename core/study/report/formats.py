"""The formats of a report, each a function from a study and its report to files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Literal, get_args

from headtorch.core.errors import InputError, StudyError
from headtorch.core.records import NeuronId, Record
from headtorch.core.study.artefacts import npz_bytes
from headtorch.core.study.claim_rows import ContextRow, HeadClaimRow
from headtorch.core.study.claim_tables import (
    ClaimPlaceRow,
    ContextShareRow,
    MatchedHeadTableRow,
    PlaceTables,
    context_share_rows,
    matched_head_rows,
)
from headtorch.core.study.report.contents import Report
from headtorch.core.study.report.json import to_json
from headtorch.core.study.report.markdown import to_markdown
from headtorch.core.study.report.people import RatingRow, rating_rows
from headtorch.core.study.report.tables import to_csv, to_parquet
from headtorch.core.study.rows import (
    AblationRow,
    HeadRow,
    NeuronRow,
    PromptRow,
    ScoreRow,
    ablation_rows,
    head_rows,
    prompt_rows,
    score_rows,
    summary_rows,
)
from headtorch.core.study.state import StudyState
from headtorch.core.watch import SILENT, Watch

Format = Literal["html", "md", "json", "csv", "parquet", "figures"]
FORMATS: tuple[Format, ...] = get_args(Format)
CLAIM_PLACES = "claim_places"
USUAL: tuple[Format, ...] = ("html", "md", "json", "csv")
Rows = Callable[[], Iterable[Record]]
Table = tuple[str, type[Record], Rows]  # name, kind of its rows, rows


def parse_formats(text: str) -> list[Format]:
    """Read "html,md". Raises InputError for a format that there is not, and for none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    chosen = [known for known in FORMATS if known in names]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not chosen:
        what = f"{unknown[0]!r} is not a format of a report" if unknown else "No format is named"
        raise InputError(f"{what}; choose from {', '.join(FORMATS)}, with commas between them.")
    return chosen


def contents(
    report: Report,
    state: StudyState,
    formats: Collection[Format],
    watch: Watch = SILENT,
    *,
    with_places: bool = True,
) -> dict[str, bytes]:
    """The files of these formats, by their path inside the report's folder. Raises InputError without matplotlib.

    with_places: the table of claim places too, which is tens of megabytes
    All tell of the state as it is now, though the watch may let it grow while they are written.
    """
    has_tables = bool({"csv", "parquet"} & set(formats))
    tables = [one for one in _tables(report, state) if with_places or one[0] != CLAIM_PLACES] if has_tables else []
    found: dict[str, bytes] = {}
    for at, name in enumerate(formats):
        watch.checkpoint()
        watch.progress(name, at, len(formats), "formats")
        found.update(_WRITERS[name](report, tables))
    return found | mean_head_outputs(state) if has_tables else found


def _html(report: Report, tables: list[Table]) -> Mapping[str, bytes]:
    from headtorch.core.study.report.html import to_html

    return {"report.html": to_html(report).encode()}


def _markdown(report: Report, tables: list[Table]) -> Mapping[str, bytes]:
    return {"report.md": to_markdown(report).encode()}


def _json(report: Report, tables: list[Table]) -> Mapping[str, bytes]:
    return {"report.json": to_json(report).encode()}


def _csv(report: Report, tables: list[Table]) -> Mapping[str, bytes]:
    return {f"{name}.csv": to_csv(kind, rows()).encode() for name, kind, rows in tables}


def _parquet(report: Report, tables: list[Table]) -> Mapping[str, bytes]:
    return {f"{name}.parquet": to_parquet(kind, rows()) for name, kind, rows in tables}


def _tables(report: Report, state: StudyState) -> Iterator[Table]:
    for name, (kind, rows) in _TABLES.items():
        yield name, kind, _all(rows(state))
    if report.verdict.tested:
        yield from _claim_tables(report, state)
    if report.people is not None:
        yield "ratings", RatingRow, _all(rating_rows(report.people))


def _claim_tables(report: Report, state: StudyState) -> Iterator[Table]:
    claims = [*report.findings, *report.candidates, *report.last_token, *report.random_claims]
    yield "context_claims", ContextRow, _all([row for row in claims if isinstance(row, ContextRow)])
    yield "matched_heads", MatchedHeadTableRow, _all(matched_head_rows(claims))
    yield "head_claims", HeadClaimRow, _all([row for row in claims if isinstance(row, HeadClaimRow)])
    yield "context_share", ContextShareRow, _all(context_share_rows(state))
    yield CLAIM_PLACES, ClaimPlaceRow, PlaceTables.of(state).rows


def _all(rows: Iterable[Record]) -> Rows:
    """Rows as they are now, though the state may grow before they are written."""
    made = [*rows]
    return lambda: made


def mean_head_outputs(state: StudyState) -> dict[str, bytes]:
    """What stood in for heads in effects: [layer, head, d_head], as an .npz; a file more for each neuron of another."""
    if state.load is None:
        return {}
    files: dict[str, bytes] = {}
    first_with: dict[str, NeuronId] = {}
    for neuron, event in state.claim_heads.items():
        first_with.setdefault(event.means, neuron)
    for place, (artefact, neuron) in enumerate(first_with.items()):
        try:
            arrays = state.load(artefact)
        except StudyError:
            continue
        files["mean_head_outputs.npz" if not place else f"mean_head_outputs-{neuron}.npz"] = npz_bytes(arrays)
    return files


def _figures(report: Report, tables: list[Table]) -> Mapping[str, bytes]:
    from headtorch.core.study.report.figures import figures

    return {f"figures/{name}": data for name, data in figures(report).items()}


_TABLES: dict[str, tuple[type[Record], Callable[[StudyState], list[Record]]]] = {
    "neurons": (NeuronRow, lambda state: [*summary_rows(state)]),
    "prompts": (PromptRow, lambda state: [*prompt_rows(state)]),
    "heads": (HeadRow, lambda state: [*head_rows(state)]),
    "scores": (ScoreRow, lambda state: [*score_rows(state)]),
    "ablations": (AblationRow, lambda state: [*ablation_rows(state)]),
}
_WRITERS: dict[Format, Callable[[Report, list[Table]], Mapping[str, bytes]]] = {
    "html": _html,
    "md": _markdown,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "figures": _figures,
}
