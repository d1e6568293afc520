"""The tables of claims hold the very rows behind E, shares taken and effect contrasts."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from claims_study import BEST, BY_TOKEN, HEADS_OF, RANDOM

from headtorch.core.study import frames
from headtorch.core.study.claim_places import ClaimPlaces
from headtorch.core.study.report import report_of, write_report
from headtorch.core.study.state import StudyState
from headtorch.core.study.study import Study

HEAD = HEADS_OF[BEST][0]


def balanced(places: pd.DataFrame) -> float:
    """E of the rows: the mean of the rates at which the rule is right on either label."""
    right = places["holds"] == places["label"]
    return float((right[places["label"]].mean() + right[~places["label"]].mean()) / 2)


def test_e_and_contrast_follow_from_the_places(claims: Study) -> None:
    places = frames.claim_places_frame(claims.state)
    tested = places[places["scored"]].astype({"holds": bool, "label": bool})
    for (neuron, by), claim in claims.state.context_claims.items():
        if neuron != RANDOM:
            mine = tested[(tested["neuron"] == str(neuron)) & (tested["kind"] == "context")]
            assert (len(mine), balanced(mine)) == (2 * claim.pairs, pytest.approx(claim.e)), by
    for (neuron, head, by), claim in claims.state.head_claims.items():
        if neuron != RANDOM:
            mine = tested[(tested["neuron"] == str(neuron)) & (tested["head"] == str(head))]
            assert balanced(mine) == pytest.approx(claims.state.scores[neuron, head, by].e)
            shares = [
                one["effect"].sum() / one["activation"].sum() for one in (mine[mine["holds"]], mine[~mine["holds"]])
            ]
            sign = -1 if claim.suppressing else 1
            assert sign * (shares[0] - shares[1]) == pytest.approx(claim.contrast.value, rel=1e-5)


def test_both_places_of_a_pair_stand_together_with_their_whole_rows(claims: Study) -> None:
    table = frames.claim_places_frame(claims.state)
    pairs = table[(table["neuron"] == str(BEST)) & (table["kind"] == "context")]
    assert pairs["pair"].iloc[0] == pairs["pair"].iloc[1] and list(pairs["label"].iloc[:2]) == [True, False]
    assert table[table["kind"] == "head"]["pair"].isna().all()
    places = ClaimPlaces.of(claims.load_arrays(claims.state.firing[BEST].artefact))
    rows = {(int(places.document[i]), int(places.position[i])): places.ids(i).tolist() for i in range(len(places))}
    assert all(rows[one.document, one.position] == one.token_ids for one in pairs.itertuples())
    assert {ids[0] for ids in pairs["token_ids"]} == {0}, "the model's own first token included"


def test_random_neurons_and_missing_artefacts_have_no_places(claims: Study, tmp_path: Path) -> None:
    neurons = set(frames.claim_places_frame(claims.state)["neuron"])
    assert str(RANDOM) not in neurons and str(BEST) in neurons
    lacking = Study.open(shutil.copytree(claims.folder, tmp_path / "lacking"))
    (lacking.folder / "artefacts" / lacking.state.firing[BEST].artefact).unlink()
    assert str(BEST) not in set(frames.claim_places_frame(lacking.state)["neuron"])
    assert frames.claim_places_frame(StudyState()).empty


def test_matched_heads_stand_alone_and_then_together(claims: Study) -> None:
    table = frames.matched_heads_frame(claims.state)
    mine = table[table["neuron"] == str(BEST)]
    assert list(mine["heads"]) == [1, 1, 1, 5, 20, 171] and mine["head"].isna().sum() == 3
    claim = claims.state.context_claims[BEST, "rules"]
    assert mine["taken"].iloc[0] == claim.heads[0].taken.value and mine["q"].iloc[0] < 0.05


def test_context_shares_say_what_drives_a_neuron(claims: Study) -> None:
    table = frames.context_share_frame(claims.state).set_index("neuron")
    assert table.loc[str(BY_TOKEN), "driven_by"] == "last token" and table.loc[str(BEST), "driven_by"] == "heads"
    assert table.loc[str(BY_TOKEN), "last_tokens"] == " more;  \x1b[31mless"
    neurons = frames.neurons_frame(claims.state).set_index("neuron")
    assert neurons.loc[str(BEST), "context_share"] == pytest.approx(0.61)


def test_the_frame_of_claims_has_both_kinds_findings_first(claims: Study) -> None:
    table = frames.claims_frame(claims.state)
    assert list(table["finding"].iloc[:5]) == [True] * 5 and table["finding"].sum() == 5
    assert list(table["kind"].iloc[:2]) == ["context", "head"]
    assert table.loc[0, "rewrite_change"] == -0.8 and pd.isna(table.loc[0, "contrast"])
    assert table[~table["finding"]]["reasons"].str.len().min() > 0


@pytest.mark.parametrize("frame", [frames.claims_frame, frames.matched_heads_frame, frames.context_share_frame])
def test_an_empty_study_has_empty_frames_with_columns(frame: object) -> None:
    empty = frame(StudyState())  # type: ignore[operator]
    assert len(empty) == 0 and "neuron" in empty.columns


def test_csv_and_parquet_hold_the_same_places_and_the_mean_outputs_go_with_them(claims: Study, tmp_path: Path) -> None:
    paths = {path.name: path for path in write_report(claims, tmp_path / "out", ["csv", "parquet"])}
    read = list(csv.DictReader(io.StringIO(paths["claim_places.csv"].read_text())))
    table = pyarrow.parquet.read_table(paths["claim_places.parquet"])
    assert table.num_rows == len(read) > 500
    assert [json.loads(row["token_ids"]) for row in read] == table["token_ids"].to_pylist()
    assert [row["pair"] for row in read[:2]] == [str(pair) for pair in table["pair"].to_pylist()[:2]]
    assert read[-1]["pair"] == "" and table["holds"].to_pylist()[0] == (read[0]["holds"] == "True")
    means = np.load(paths["mean_head_outputs.npz"])
    [chosen] = {event.means for event in claims.state.claim_heads.values()}
    assert np.array_equal(means["means"], claims.load_arrays(chosen)["means"])


def test_a_table_has_every_claim_once_with_the_q_of_the_whole_study(claims: Study, tmp_path: Path) -> None:
    write_report(claims, tmp_path / "all", ["csv"])
    write_report(claims, tmp_path / "one", ["csv"], [BEST])
    whole, part = (pd.read_csv(tmp_path / name / "head_claims.csv") for name in ("all", "one"))
    assert len(whole) == len(claims.state.head_claims) and set(part["neuron"]) == {str(BEST)}
    merged = part.merge(whole, on=["neuron", "head"])
    assert len(merged) == 3 and np.allclose(merged["q_x"], merged["q_y"])


def test_a_report_about_one_neuron_has_its_claims_and_the_verdict_of_all(claims: Study) -> None:
    whole, part = report_of(claims), report_of(claims, [BEST])
    assert part.verdict == whole.verdict and part.controls == whole.controls
    assert {row.neuron for row in [*part.findings, *part.candidates]} == {str(BEST)}
