"""headtorch report: files of the formats asked for, from a study alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from calls import Call, data, refusal


def test_the_usual_formats_go_into_the_folder_of_the_study(cli: Call, folder: Path) -> None:
    left = cli("report", folder)
    assert (left.code, left.err) == (0, "")
    assert left.out.splitlines()[:3] == [str(folder / "report" / f"report.{kind}") for kind in ("html", "md", "json")]
    assert (folder / "report" / "report.html").read_text().startswith("<!doctype html>")


def test_chosen_formats_go_where_they_are_wanted(cli: Call, folder: Path, tmp_path: Path) -> None:
    paths = data(cli("report", folder, "--format", "figures,parquet", "--out", tmp_path / "paper", "--json"))
    names = {Path(path).relative_to(tmp_path / "paper").as_posix() for path in paths}
    assert {"neurons.parquet", "figures/explained.svg", "figures/explained.pdf"} <= names
    assert not [name for name in names if name.endswith((".html", ".csv"))]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--format", "pdf"), "'pdf' is not a format of a report; choose from html, md, json, csv, parquet, figures"),
        (("--format", ""), "No format is named"),
        (("--out", "/dev/null/x"), "cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(cli: Call, folder: Path, args: tuple[str, str], said: str) -> None:
    assert said in refusal(cli("report", folder, *args))


def test_a_study_that_is_not_there_is_refused(cli: Call) -> None:
    assert "There is no study" in refusal(cli("report", "nowhere"))


def test_no_model_is_loaded_for_a_report(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv[1:] = ['report', sys.argv[1], '--format', 'html,json', '--out', sys.argv[2]]\n"
        "from headtorch.tui.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'transformers', 'textual', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, folder, tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
