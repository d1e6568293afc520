"""Reaching a Ray cluster, or starting one on this machine. For the driver process alone: the environment is changed."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headtorch.core.errors import ClusterError
from headtorch.core.scale.job import AnyTold, Job, Noted

REACH_SECONDS = 5.0  # for an address to take a connection
LOST_SECONDS = 20  # without the head node, until the cluster counts as gone

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(LOST_SECONDS),
}
_OWN = {  # of a cluster of our own: patience on a machine that has other work, and workers that are no less than us
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_NUM_REDIS_GET_RETRIES": "120",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_niceness": "0",
}


@contextmanager
def cluster(job: Job, say: Callable[[AnyTold], None] = lambda said: None) -> Iterator[Any]:
    """The module ray, connected, after it was said to what; raises ClusterError where there is no cluster to be had."""
    os.environ.update(_SETTINGS | _OWN if job.address in ("auto", "local") else _SETTINGS)
    address = job.address
    if address == "auto" and os.environ.get("RAY_ADDRESS") not in (None, "", "auto", "local"):
        address = os.environ["RAY_ADDRESS"]
    os.environ.pop("RAY_ADDRESS", None)
    if address not in ("auto", "local"):
        check_address(address)
    _choose_token(own=address in ("auto", "local"))
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"Ray cannot be imported here ({error}); install headtorch[ray] again.") from error
    own = _connect(ray, address, job)
    try:
        say(Noted(text=which(ray, own)))
        yield ray
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Raise ClusterError for what is no HOST:PORT, or does not take a connection."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ClusterError(
            f"{address!r} is not the address of a Ray cluster; give HOST:PORT, as `ray start --head` prints it, or "
            "auto. From outside the cluster, submit the command with `ray job submit`."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"No Ray cluster answers at {address} ({error.strerror or error}); start one with `ray start --head`, or "
            "take --ray auto."
        ) from None


def which(ray: Any, own: bool) -> str:
    """What was connected to, in a sentence."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sum(int(machine.get(kind, 0)) for machine in machines) for kind in ("CPU", "GPU"))
    holds = f"{counted(cpus, 'CPU')}, {counted(gpus, 'GPU')}"
    if own:
        return f"Scanning on a Ray cluster of this machine alone, started for this scan: {holds}."
    address = ray.get_runtime_context().gcs_address
    return f"Scanning on the Ray cluster at {address}: {counted(len(machines), 'machine')}, {holds}."


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _connect(ray: Any, address: str, job: Job) -> bool:
    """Whether the cluster is our own."""
    own = address == "local" or (address == "auto" and not _joined(ray))
    if own:
        _start(ray, job)
    elif address != "auto":
        _join(ray, address)
    return own


def _joined(ray: Any) -> bool:
    """Whether there was a cluster on this machine to connect to."""
    try:
        _join(ray, "auto")
    except ClusterError:
        ray.shutdown()
        return False
    return True


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"The Ray cluster at {address} cannot be used ({_first_line(error)}). Run headtorch on one of the "
            "cluster's own machines, with the cluster's versions of Python and Ray, and its token if it has one."
        ) from error


def _start(ray: Any, job: Job) -> None:
    """A cluster of this machine alone, which ends with this process and writes into the job's scratch folder."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = {} if job.device == "cuda" else {"num_gpus": 0}
    try:
        ray.init(
            address="local",
            num_cpus=max(cores or 1, job.workers or 1),
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            _temp_dir=job.scratch,
            **gpus,
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(f"Ray could not be started on this machine ({_first_line(error)}).") from error


def _choose_token(own: bool) -> None:
    """The user's token if there is one; else, for a cluster of our own, one that is in no file. Before ray is imported.

    Without it, Ray would write one into the user's home.
    """
    at_hand = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    found = bool(at_hand) or (Path.home() / ".ray" / "auth_token").is_file()
    if own and not found:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if own or found:
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # else Ray before 2.59 lets anybody in


def room(ray: Any, job: Job) -> tuple[int, int]:
    """How many workers, and the CPUs of each: a GPU and a CPU each, or, on CPUs, all CPUs shared out evenly.

    Raises ClusterError where the cluster has no GPU although this machine has, or the other way round.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
    if job.device == "cuda":
        if not gpus:
            raise ClusterError("The Ray cluster has no GPU; use --device cpu, or start its nodes with --num-gpus.")
        return min(job.workers or gpus, gpus, job.shards), 1
    if gpus and not job.device_chosen:
        raise ClusterError(
            f"The Ray cluster has {gpus} GPUs and this machine has none, so the index would be made on CPUs; start "
            "headtorch on a machine with a GPU, or say --device cpu."
        )
    cpus = [int(machine.get("CPU", 0)) for machine in machines]
    workers = max(1, min(job.workers or sum(cpus), sum(cpus), job.shards))
    each = max(1, sum(cpus) // workers)
    while each > 1 and sum(of // each for of in cpus) < workers:
        each -= 1
    return workers, each


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
