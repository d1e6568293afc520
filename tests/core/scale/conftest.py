"""One Ray cluster of two CPUs for all tests, and a small question with its index made by one process."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headtorch.core.analysis.index import ActivationIndex
from headtorch.core.analysis.scan import scan
from headtorch.core.corpus.tokens import TokenizedCorpus
from headtorch.core.engine.workspace import Workspace
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.scale.job import Job
from headtorch.core.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))  # so that tests can `from fake_ray import ...`

SHARDS = 5


@dataclass(frozen=True)
class Question:
    """A few annual messages, a layer of the demo model, and what the scan in one process says of them."""

    settings: Settings
    model: LanguageModel
    corpus: TokenizedCorpus
    whole: ActivationIndex
    cache: Path

    def job(self, folder: Path, **other: Any) -> Job:
        """The index, to be made in another folder."""
        asked: dict[str, Any] = dict(
            key=self.whole.key,
            layers=list(self.whole.layers),
            top_k=self.whole.top_k,
            seed=0,
            model="demo",
            revision=None,
            dtype="float32",
            device="cpu",
            device_chosen=True,
            corpus_folder=str(self.corpus.corpus.folder),
            corpus_spec="sotu",
            corpus_tokens=self.corpus.corpus.tokens,
            tokens_folder=str(self.corpus.folder),
            context=self.corpus.context,
            first_token=self.corpus.first_token,
            index_folder=str(folder),
            scratch=str(folder),
            address="local",
            shards=SHARDS,
            workers=2,
        )
        return Job(**asked | other)


@pytest.fixture(scope="session")
def question(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Question]:
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADTORCH_CACHE", str(cache))
        settings = Settings(layers="2", docs=6, top_k=8, context=128)
        workspace = Workspace(settings, device="cpu")
        whole = scan(workspace.model, workspace.corpus, workspace.layers, top_k=8)
        yield Question(settings, workspace.model, workspace.corpus, whole, cache)


@dataclass(frozen=True)
class Cluster:
    ray: Any
    address: str
    environment: dict[str, str]  # of a process that may connect


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a token of its own, whose files are in a temporary folder."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("the extra ray is not installed")
    scratch = Path("/tmp") / f"headtorch-test-{secrets.token_hex(4)}"  # short: it holds sockets
    own = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_gcs_server_port_wait_time_s": "120",
        "RAY_NUM_REDIS_GET_RETRIES": "120",
        "RAY_raylet_start_wait_time_s": "120",
        "RAY_worker_niceness": "0",
        "OMP_NUM_THREADS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        import ray  # only now: it reads some of them when it is imported

        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=0,
            object_store_memory=200 * 2**20,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            _temp_dir=str(scratch),
        )
        yield Cluster(ray, ray.get_runtime_context().gcs_address, dict(os.environ))
        ray.shutdown()


@pytest.fixture(scope="session")
def assert_same() -> Callable[[ActivationIndex, ActivationIndex], None]:
    """Every array equal, moments to 1e-9."""

    def check(found: ActivationIndex, expected: ActivationIndex) -> None:
        for name, value in vars(expected).items():
            if name in ("total", "square"):
                np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, err_msg=name)
            else:
                np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)

    return check
