"""headtorch match and rewrite, and what a run prints of its claims: read from a study, without a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from calls import Call, data, refusal
from claims_study import BEST, HELD_OUT, claims_study

from headtorch.core.study.report import report_of, to_json
from headtorch.core.study.study import Study
from headtorch.tui.cli.output import plain
from headtorch.tui.cli.run_results import print_results, results


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return claims_study(tmp_path_factory.mktemp("claims") / "claims")


def test_matched_pairs_stand_side_by_side(cli: Call, study: Study) -> None:
    left = cli("match", study.folder, "L18.N98", "--pairs", 3)
    assert (left.code, left.err) == (0, "") and "\x1b" not in left.out
    lines = left.out.splitlines()
    assert lines[0] == 'L18.N98 → ·of fires where: " the" among the last 2 tokens'
    assert lines[1].startswith(f"3 of {HELD_OUT} held-out pairs")
    assert sum(line.startswith("fires ") for line in lines) == sum(line.startswith("off ") for line in lines) == 3
    assert all(" the ⟦" in line for line in lines if line.startswith("fires "))
    assert sum(line.startswith("Heads, taken and restored: L1.H2 ") for line in lines) == 3


def test_all_pairs_come_as_json(cli: Call, study: Study) -> None:
    found = data(cli("match", study.folder, "L18.N98", "--pairs", 100, "--json"))
    assert (found["neuron"], found["explainer"], len(found["pairs"])) == ("L18.N98", "rules", HELD_OUT)
    pair = found["pairs"][0]
    assert pair["firing"]["tokens"][-1] == pair["off"]["tokens"][-1]
    assert [head["head"] for head in pair["heads"]] == ["L1.H2", "L7.H6", "L11.H7"]


def test_rewritten_texts_mark_their_edits(cli: Call, study: Study) -> None:
    left = cli("rewrite", study.folder, "L18.N98")
    assert "Rewriting agrees: activation −80 % [−85, −75], placebo −48 % [−58, −38], difference −32 %" in left.out
    assert "people and in ‹the → any› end" in left.out and "‹people → \\x1b[31mred› and in" in left.out
    of_head = cli("rewrite", study.folder, "L23.N386", "L12.H8")
    assert of_head.out.startswith("L12.H8 → L23.N386: ") and "in ‹+ any› the end" in of_head.out
    found = data(cli("rewrite", study.folder, "L23.N386", "L12.H8", "--json"))
    assert found["rewriting"]["kind"] == "insert" and found["rewriting"]["examples"][0]["edited"] == [
        {"index": 3, "token": " any"}
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("match", "L9.N9"), "The study does not have L9.N9"),
        (("match", "18.98"), "is not the address of a neuron"),
        (("match", "L21.N5"), "L21.N5 has no context claim: its last token drives it (context share −21 %)."),
        (("match", "L18.N98", "--explainer", "me"), "L18.N98 has no context claim"),
        (("rewrite", "L18.N98", "L3.H3"), "no claim about L3.H3; the study has claims about L1.H2, L7.H6, L11.H7."),
        (("rewrite", "L18.N98", "L11.H7"), "Rewriting did not test this claim"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(
    cli: Call, study: Study, args: tuple[str, ...], said: str
) -> None:
    command, *rest = args
    assert said in refusal(cli(command, study.folder, *rest))


def test_a_study_without_claims_says_so(cli: Call, folder: Path) -> None:
    neuron = next(iter(Study.open(folder).state.neurons))
    assert "made before claims were tested" in refusal(cli("match", folder, str(neuron)))
    assert "made before claims were tested" in refusal(cli("rewrite", folder, str(neuron), "L2.H4"))


def test_a_run_prints_the_verdict_first_then_findings_then_candidates_then_neurons(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    print_results(study, None)
    printed = capsys.readouterr().out
    assert printed.startswith("4 of 5 neurons predict “ of”; heads drive 3 of them")
    order = [
        "Findings:",
        '  L18.N98 → " of" · ',
        "Candidates,",
        "no finding: rewriting does not agree",
        "Controls,",
        "neuron    token",
    ]
    assert [printed.index(one) for one in order] == sorted(printed.index(one) for one in order)
    table = printed[printed.index("neuron    token") :].splitlines()[1:7]
    assert [line.split()[0] for line in table] == ["L18.N98", "L14.N835", "L23.N386", "L21.N5", "L20.N374", "L17.N3"]
    assert "61 %" in table[0] and "2 of 4" in table[0] and "\x1b" not in printed


def test_the_json_of_a_run_has_the_claims_as_the_report_has_them(study: Study) -> None:
    import json

    printed, written = plain(results(study, None)), json.loads(to_json(report_of(study)))
    assert isinstance(printed, dict)
    for name in ("verdict", "findings", "candidates", "controls"):
        assert json.loads(json.dumps(printed[name])) == written[name], name


def test_no_model_is_loaded_for_pairs_and_texts(study: Study) -> None:
    script = (
        "import sys; sys.argv[1:] = sys.argv[1:]\n"
        "from headtorch.tui.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'transformers', 'textual', 'matplotlib'} & set(sys.modules)"
    )
    for command in ("match", "rewrite"):
        args = [sys.executable, "-c", script, command, str(study.folder), str(BEST)]
        done = subprocess.run(args, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
