"""A claim in one line, as the report, the terminal and the workbench show it."""

from __future__ import annotations

import msgspec
import pytest

from headtorch.core.study.claim_rows import ClaimRow, ContextRow, HeadClaimRow, JointRow, MatchedHeadRow, RewriteRow
from headtorch.core.study.claim_text import one_line
from headtorch.core.study.conclusions import conclusions
from headtorch.core.study.study import Study


@pytest.fixture
def rows(claims: Study) -> dict[str, ClaimRow]:
    """A context row and a head row."""
    found = conclusions(claims.state).findings
    return {kind: next(row for row in found if row.kind == kind) for kind in ("context", "head")}


def rewrite(row: RewriteRow | None, change: float, placebo: float) -> RewriteRow:
    assert row is not None
    return msgspec.structs.replace(row, change=change, placebo=placebo)


def taken(row: MatchedHeadRow, *numbers: float) -> MatchedHeadRow:
    return msgspec.structs.replace(row, **dict(zip(("taken", "taken_low", "taken_high"), numbers, strict=True)))


def joint(row: JointRow, *numbers: float) -> JointRow:
    return msgspec.structs.replace(row, **dict(zip(("taken", "low", "high"), numbers, strict=True)))


def test_a_context_claim(rows: dict[str, ClaimRow]) -> None:
    row = rows["context"]
    assert isinstance(row, ContextRow)
    row = msgspec.structs.replace(
        row,
        text="an article among the last 2 tokens",
        e=0.8,
        auroc_ceiling=0.87,
        heads=[taken(row.heads[0], 0.17, 0.13, 0.21)],
        joint=[joint(row.joint[0], 0.44, 0.39, 0.49), joint(row.joint[1], 0.84, 0.81, 0.87), row.joint[2]],
        rewrite=rewrite(row.rewrite, -0.8, -0.48),
    )
    assert one_line(row) == (
        'L18.N98 → " of" · an article among the last 2 tokens · E 0.80, ceiling 0.87 · L1.H2 takes 17 % [13, 21], five '
        "44 % [39, 49], twenty of 171 84 % · rewriting −80 % (placebo −48 %)"
    )
    few = msgspec.structs.replace(
        row, joint=[row.joint[0], msgspec.structs.replace(row.joint[2], heads=18)], eligible_heads=18
    )
    assert "five of 18 44 % [39, 49] · " in one_line(few), "twenty are more than there are"


def test_a_head_claim(rows: dict[str, ClaimRow]) -> None:
    row = rows["head"]
    assert isinstance(row, HeadClaimRow)
    row = msgspec.structs.replace(
        row,
        neuron="L3.N1004",
        head="L2.H6",
        token=" that",
        text='"it" among the last 6 tokens',
        effect_holds=0.28,
        effect_elsewhere=0.01,
        contrast=0.26,
        contrast_low=0.19,
        contrast_high=0.35,
        e=0.88,
        auroc_ceiling=0.93,
        rewrite=rewrite(row.rewrite, -0.9, -0.25),
    )
    assert one_line(row) == (
        'L2.H6 → L3.N1004 " that" · "it" among the last 6 tokens · removes 28 % where it holds, 1 % elsewhere, '
        "+26 [19, 35] · E 0.88 · text ceiling 0.93 · rewriting −90 % (placebo −25 %)"
    )
    assert "holds back 28 %" in one_line(msgspec.structs.replace(row, suppressing=True))
    raising = msgspec.structs.replace(row, raises_p=True, delta_log_p=0.12)
    assert one_line(raising).endswith(" · ablating it raises p(t): Δ log p +0.12")


def test_what_is_missing_is_left_out_or_told(rows: dict[str, ClaimRow]) -> None:
    row = msgspec.structs.replace(rows["context"], rewrite=None, heads=[], joint=[], auroc_ceiling=None)
    assert one_line(row).endswith("· E 0.97")
    untestable = msgspec.structs.replace(row, not_testable="the rule names no token")
    assert one_line(untestable).endswith("rewriting not testable (the rule names no token)")
    unmeasured = msgspec.structs.replace(rows["head"], effect_holds=None)
    assert "no effect measured" in one_line(unmeasured)


def test_the_opening_of_a_learned_rule_is_left_out(rows: dict[str, ClaimRow]) -> None:
    for text in ('Active when "the" is in the text.', 'Fires where "the" is in the text.', '"the" is in the text'):
        assert ' · "the" is in the text · ' in one_line(msgspec.structs.replace(rows["context"], text=text))


def test_text_of_others_is_inert(rows: dict[str, ClaimRow]) -> None:
    row = msgspec.structs.replace(rows["context"], token=" \x1b[31mof", text="a\nb\u202e")
    assert one_line(row).startswith('L18.N98 → " \\x1b[31mof" · a⏎b\\u202e · ')
