"""The HTML report: one inert file that says what was found, shades what was looked up, and reads in either light."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from large_study import large_study

from headtorch.core.causes import (
    Agreement,
    Cooperation,
    PairSynergy,
    Spectrum,
    SpectrumBin,
    SpectrumCurve,
    Synergy,
)
from headtorch.core.records import HeadId, Interval, NeuronId
from headtorch.core.settings import Settings
from headtorch.core.study import Study, StudyState
from headtorch.core.study.report import build_report, report_of, write_report
from headtorch.core.study.report.cause import Cause, EffectRow
from headtorch.core.study.report.html import TEMPLATES, to_html
from headtorch.core.study.report.html.charts import dot_rows
from headtorch.core.study.report.html.heatmap import heat_map
from headtorch.core.text import visible


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text of each kind of element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self.text = ""
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.inside.setdefault(self._open, []).append(data)
        if self._open not in ("style", "script"):
            self.text += data

    def all(self, name: str) -> list[str]:
        """The values of an attribute, wherever it stands."""
        return [attributes[name] or "" for _, attributes in self.elements if name in attributes]


@pytest.fixture
def page(study: Study) -> Page:
    return Page(to_html(report_of(study)))


def test_hostile_text_adds_no_element_and_no_attribute(study: Study, hostile: str, page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == tags.count("style") == 1
    assert not {"img", "iframe", "object", "embed", "link", "form", "base", "foreignobject"} & set(tags)
    names = {name for _, attributes in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "srcdoc")]
    assert hostile not in page.text
    assert page.text.count(visible(hostile)) >= 8, "titles aside: tokens, explanations, notes, a token, a warning"


def test_every_line_of_the_file_is_visible_text(study: Study) -> None:
    assert all(visible(line) == line for line in to_html(report_of(study)).split("\n"))


def test_the_page_asks_for_nothing_and_links_only_into_itself_and_to_the_paper(page: Page) -> None:
    links = {link for link in page.all("href") if not link.startswith("#")}
    assert links == {"https://arxiv.org/abs/2402.15055"}
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.all("href") if link.startswith("#")} <= set(ids)


def test_the_policy_allows_the_style_and_the_script_inside_and_nothing_else(page: Page) -> None:
    [policy] = [
        attributes["content"] or ""
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]

    def hashed(tag: str) -> str:
        digest = hashlib.sha256("".join(page.inside[tag]).encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    assert f"style-src {hashed('style')};" in policy and f"script-src {hashed('script')};" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy


def test_explained_heads_stand_with_what_makes_an_e_mean_something(page: Page) -> None:
    text = " ".join(page.text.split())
    places = [text.rindex(title) for title in ("Explained heads", "Scores, and", "Method, in short")]
    assert places == sorted(places)
    for fact in ["0.70 [0.57, 0.82]", "n = 30 + 40", "q = 0.02", "Δ log p −0.75 where active (n = 30)"]:
        assert fact in text[places[0] : places[1]]
    assert "F1 0.50, MCC 0.25" in text and "Controls: shuffled 0.50 (n = 70)" in text
    assert "Right on 27 of 30 active and 20 of 40 inactive" in text
    assert "not scorable" in text and "This study is not finished: ablate L2.N7" in text
    assert "@inproceedings{neo2024interpreting" in text and "f00d" in text and "c0ffee" in text


def test_the_token_a_head_looked_up_is_marked_with_its_share(study: Study) -> None:
    html = to_html(report_of(study))
    assert '<i class="s5 up">of</i><sup>62%</sup>' in html
    assert "12% first token · 12% earlier" in html


def test_without_its_artefact_a_prompt_is_shown_unshaded(study: Study) -> None:
    for artefact in (study.folder / "artefacts").iterdir():
        artefact.unlink()
    html = to_html(report_of(study))
    assert "<sup>62%</sup>" not in html.split("<article", 1)[1]
    assert " United" in html or ">United<" in html


def test_what_was_measured_of_cause_stands_with_its_neuron(study: Study) -> None:
    neuron, (one, other) = NeuronId(3, 412), (HeadId(2, 1), HeadId(0, 3))
    pair = PairSynergy(
        first=one,
        second=other,
        synergy=-0.25,
        interval=Interval(-0.5, -0.125),
        joint=1.5,
        reading="redundancy",
        p=0.0002,
        matched=40,
        null=None,
    )
    cause = Cause(
        effects=[
            EffectRow(
                neuron=neuron,
                head=one,
                activation=1.25,
                pre_activation=1.5,
                estimated_activation=None,
                mean_direct=1.0,
                prompts=12,
                replacement="resample",
            )
        ],
        agreement=[
            Agreement(
                neuron=None,
                estimate="direct",
                quantity="pre_activation",
                n=12,
                spearman=0.75,
                n_spearman=11,
                top=0.5,
                n_top=11,
                pearson=None,
                pairs=96,
            )
        ],
        cooperation=[
            Cooperation(
                neuron=neuron,
                token_id=8,
                n=12,
                replacement="mean",
                donors=1,
                synergies=[Synergy(quantity="log_p", heads=[], pairs=[pair], joint=[], joint_interval=None, sum=1.25)],
            )
        ],
        spectra=[
            Spectrum(
                neuron=neuron,
                replacement="mean",
                position="last",
                donors=1,
                bins=[
                    SpectrumBin(low=0.0, high=1.0, n=9, activation=0.5),
                    SpectrumBin(low=None, high=None, n=12, activation=4.0),
                ],
                curves=[
                    SpectrumCurve(
                        head=one,
                        activation=[None, 0.625],
                        activation_interval=[None, None],
                        pre_activation=[None, 0.5],
                        pre_activation_interval=[None, None],
                    )
                ],
            )
        ],
    )
    text = " ".join(Page(to_html(msgspec.structs.replace(report_of(study), cause=cause))).text.split())
    for fact in [
        "direct pre-activation 0.75 0.50 – 11 12",
        "L2.H1 +1.250 +1.500 – +1.000",
        "L2.H1 and L0.H3 log p −0.250 [−0.500, −0.125] +1.500 2.0·10⁻⁴ redundancy",
        "L2.H1 – +0.625",
    ]:
        assert fact.replace(" ", "") in text.replace(" ", ""), fact


def test_a_study_with_nothing_in_it_has_a_page(asked: Settings) -> None:
    page = Page(to_html(build_report("trial", asked, StudyState())))
    assert "No neurons were found." in page.text and "No explained head could be scored." in page.text


def test_equal_studies_give_equal_bytes(study: Study) -> None:
    assert to_html(report_of(study)) == to_html(report_of(Study.open(study.folder)))


def test_no_glyph_of_a_negative_number_is_a_hyphen(study: Study) -> None:
    assert not re.search(r"[ >]-\d", Page(to_html(report_of(study))).text.replace("sha256-", ""))


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def schemes() -> dict[str, dict[str, str]]:
    """The colours of the style sheet, light and dark."""
    light, dark = (TEMPLATES / "report.css").read_text().split("@media screen and (prefers-color-scheme: dark)", 1)
    dark = dark.split("@media", 1)[0]
    return {name: dict(re.findall(r"--([\w-]+): (#\w{6})", text)) for name, text in (("light", light), ("dark", dark))}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_a_contrast_of_4_5_on_everything_it_stands_on(scheme: str) -> None:
    colours = schemes()[scheme]
    plain = [
        (text, ground)
        for text in ["ink", "bright", "quiet", "lamp", "token", "cold", "alarm", "good"]
        for ground in ("ground", "surface")
    ]
    steps = [("on-low", name) for name in "s1 s2 s3 s4 n1 n2 n3 p1 p2 p3".split()]  # noqa: SIM905
    ends = [("on-high", name) for name in ("s5", "s6", "n4", "p4")]
    bad = {
        pair: round(found, 2) for pair in plain + steps + ends if (found := contrast(*(colours[n] for n in pair))) < 4.5
    }
    assert not bad


def test_a_negative_cell_has_a_stroke_or_a_signed_number() -> None:
    drawn = heat_map([[1.0, -1.0, -0.3, 0.01, None]], [])
    assert drawn is not None and (drawn.frame.layers, drawn.frame.heads) == (1, 5)
    assert [(cells.name, cells.path) for cells in drawn.cells] == [("n2", "M2 0h1"), ("n4", "M1 0h1"), ("p4", "M0 0h1")]
    assert [number.text for number in drawn.numbers] == ["1.00", "−1.00"] and drawn.negative.count("M") == 1


def test_nothing_to_draw_is_no_drawing() -> None:
    assert heat_map([], []) is None and heat_map([[0.0, None]], []) is None and dot_rows([]) is None


def test_every_score_is_a_dot(study: Study) -> None:
    report = report_of(study)
    plot = dot_rows(report.groups)
    assert plot is not None
    assert sum(len(row.dots) for row in plot.rows) == sum(len(group.values) for group in report.groups) > 0


def test_a_report_of_a_hundred_neurons_is_small_and_quick(tmp_path: Path) -> None:
    study = large_study(tmp_path / "large")
    began = time.process_time()
    paths = write_report(study, tmp_path / "out")
    assert time.process_time() - began < 10.0
    assert paths[0].stat().st_size < 2.5e6
    assert len(re.findall("<article class=neuron ", paths[0].read_text())) == 100


def test_a_report_is_the_same_from_its_json(study: Study) -> None:
    report = report_of(study)
    assert to_html(msgspec.json.decode(msgspec.json.encode(report), type=type(report))) == to_html(report)
