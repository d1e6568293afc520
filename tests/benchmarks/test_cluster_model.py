"""The simulated cluster against cases that can be reckoned by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cluster_model import Costs, Plan, simulate

COSTS = Costs(start=5.0, load=2.0, process=0.0, token=0.1, shard=1.0, window=0.0, merge=0.25, save=0.5)
PLAN = Plan(tokens=80, windows=10, shards=8, workers=2, index_bytes=4.0)


def test_without_failures_time_is_rounds_of_shards_and_the_last_merges() -> None:
    # a shard: 1 s of tokens, 1 s beside, 2 s to write; four rounds; three levels of 1 s; 2 s to write the whole
    assert simulate(COSTS, PLAN).total == pytest.approx(5 + 2 + 4 * 4 + 3 * 1 + 2)
    assert simulate(COSTS, replace(PLAN, workers=8)).total == pytest.approx(5 + 2 + 4 + 3 * 1 + 2)
    assert simulate(COSTS, replace(PLAN, shards=1)).total == pytest.approx(5 + 2 + 8 + 1 + 2 + 2)


def test_a_worker_at_half_speed_takes_fewer_shards() -> None:
    slow = simulate(COSTS, replace(PLAN, slow_share=1.0, slow_factor=2.0)).total
    assert slow == pytest.approx(2 * (5 + 2 + 4 * 4) + 3 * 1 + 2)


def test_deaths_cost_time_and_no_shard() -> None:
    healthy = simulate(COSTS, PLAN)
    runs = [simulate(COSTS, replace(PLAN, mean_life=20.0), seed) for seed in range(20)]
    assert all(run.total >= healthy.total for run in runs)
    assert np.mean([run.deaths for run in runs]) > 0.5
