"""How a study came about, in Markdown: versions, fingerprints, seeds, hardware, time, calls, settings, whom to cite."""

from __future__ import annotations

from headtorch.core.records import Record
from headtorch.core.settings import Settings, changed_settings
from headtorch.core.study.report.contents import Report
from headtorch.core.study.report.escape import escaped
from headtorch.core.study.report.phrases import table


def provenance(report: Report) -> list[str]:
    """The section, with all settings and the BibTeX entry at its end."""
    own = set(changed_settings(Settings(), report.settings))
    settings = [
        [escaped(name), escaped(setting(getattr(report.settings, name))), "no" if name in own else "yes"]
        for name in Settings.__struct_fields__
    ]
    return [
        "## Provenance",
        table(["what", "which"], [[name, escaped(told)] for name, told in _facts(report)]),
        table(["setting", "value", "default?"], settings),
        "To cite the method:",
        f"```bibtex\n{report.citation}\n```",
    ]


def _facts(report: Report) -> list[tuple[str, str]]:
    model, corpus, index = report.model, report.corpus, report.index
    facts = [
        ("study written by", f"headtorch {report.written_by or 'of an unknown version'}"),
        ("report written with", ", ".join(f"{name} {number}" for name, number in report.versions.items())),
    ]
    if model is not None:
        revision = f", revision {model.revision}" if model.revision else ""
        facts.append(("model", f"{model.name}{revision}; weights {model.fingerprint}"))
        facts.append(("computed on", computed_on(report)))
    if corpus is not None:
        facts.append(("corpus", f"{corpus.name}; content {corpus.fingerprint}"))
    if index is not None:
        context = report.settings.context if model is None else min(report.settings.context, model.context)
        origin = "; shipped with headtorch" if index.shipped else ""
        size = f"{index.windows:,} windows of at most {context:,} tokens, {index.tokens:,} tokens"
        facts.append(("index", f"{size}{origin}"))
    facts.append(("seeds", f"{report.settings.seed}; of the halves {report.settings.split_seed}"))
    spent = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.seconds.items())
    facts.append(("time", f"{spent}; {sum(report.seconds.values()):.1f} s in all" if spent else "–"))
    facts.append(("calls to language models", _calls(report)))
    return facts


def computed_on(report: Report) -> str:
    """Device, processor and precision."""
    model = report.model
    if model is None:
        return "–"
    return f"{model.device}{f' ({model.hardware})' if model.hardware else ''}, {model.dtype}"


def setting(value: object) -> str:
    """A setting's value in one line; of a group of settings each by its name."""
    if isinstance(value, Record):
        return ", ".join(f"{name} = {setting(getattr(value, name))}" for name in value.__struct_fields__)
    return repr(value)


def _calls(report: Report) -> str:
    if not report.calls:
        return "none"
    known = [made.cost for made in report.calls if made.cost is not None]
    cost = f"${sum(known):.4f}" if len(known) == len(report.calls) else "at a cost that is not known in full"
    return f"{sum(made.calls for made in report.calls):,}, {cost}"
