"""open_model: from a name to a LanguageModel on a device."""

from __future__ import annotations

import ctypes
import hashlib
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from headtorch.core.errors import DeviceError, ModelError
from headtorch.core.model.fingerprint import config_digest
from headtorch.core.model.language_model import LanguageModel
from headtorch.core.model.quiet import quiet
from headtorch.core.model.sources import Source, find_source, read_config, weight_files

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def open_model(name: str, *, revision: str | None = None, device: str = "auto", dtype: str = "auto") -> LanguageModel:
    """Load the model called `name`: "demo", a local folder, or a Hugging Face id (from the cache, else the Hub).

    Weights are read from safetensors only, and code that comes with a model is never run. `device` "auto" takes a
    GPU where there is one; `dtype` "auto" is float32 on the CPU and the checkpoint's own on a GPU.

    Raises:
        ModelError: the model is not there, not complete, damaged or not supported.
        DeviceError: this machine has no such device, or no room on it, or the dtype is unknown.
    """
    place = parse_device(device)
    kind = parse_dtype(dtype, place)
    _keep_freed_memory()
    with quiet():
        source = find_source(name, revision)
        tokenizer = _load_tokenizer(source)
        hf = _load_weights(source, place, kind)
        return LanguageModel.from_hf(
            hf, tokenizer, source.name, revision=source.revision, fingerprint=folder_fingerprint(source.folder)
        )


def parse_device(text: str) -> torch.device:
    """The device that "auto", "cpu", "cuda", "cuda:1" or "mps" names; raises DeviceError where it is not there."""
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    found = re.fullmatch(r"(cpu|mps|cuda(?::(\d{1,4}))?)", text)
    if not found:
        raise DeviceError(f"{text!r} is not a device; choose auto, cpu, cuda, cuda:1 or mps.")
    if text == "mps" and not _has_mps():
        raise DeviceError("This machine has no mps device (Apple GPU); use --device cpu.")
    if text.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(found[2] or 0) >= count:
            there = f"it has cuda:0 to cuda:{count - 1}" if count else "it has no CUDA device; use --device cpu"
            raise DeviceError(f"This machine has no device {text}: {there}.")
    return torch.device(text)


def parse_dtype(text: str, device: torch.device) -> torch.dtype | None:
    """The dtype that `text` names; None stands for the checkpoint's own ("auto" on a GPU)."""
    if text == "auto":
        return torch.float32 if device.type == "cpu" else None
    if text not in DTYPES:
        raise DeviceError(f"{text!r} is not a dtype; choose auto, {', '.join(DTYPES)}.")
    return DTYPES[text]


def folder_fingerprint(folder: Path) -> str:
    """Hash of a model folder's config and weight files; the same on every device and in every dtype."""
    digest = hashlib.blake2b(config_digest(read_config(folder, str(folder))).encode(), digest_size=16)
    for file in weight_files(folder):
        digest.update(_sha256(folder / file).encode())
    return digest.hexdigest()


def _load_tokenizer(source: Source) -> PreTrainedTokenizerBase:
    try:
        return cast(PreTrainedTokenizerBase, AutoTokenizer.from_pretrained(
            source.folder, local_files_only=True, trust_remote_code=False))  # fmt: skip
    except Exception as error:  # whatever a tokenizer library raises for files it cannot use
        raise ModelError(f"The tokenizer of {source.name} cannot be read: {_first_line(error)}.") from error


def _load_weights(source: Source, device: torch.device, dtype: torch.dtype | None) -> PreTrainedModel:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source.folder,
            dtype="auto" if dtype is None else dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        hf, info = loaded
        if info["missing_keys"]:
            some = ", ".join(sorted(info["missing_keys"])[:3])
            raise ModelError(f"The weights of {source.name} are not those of its config: {some} missing.")
        hf.config.pad_token_id = None  # rows carry no mask, and some models warn where they see padding without one
        return cast(PreTrainedModel, hf.to(device))
    except torch.OutOfMemoryError:
        raise DeviceError(
            f"{source.name} does not fit on {device}; try --dtype bfloat16, another device or a smaller model."
        ) from None
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(f"{source.name} cannot be loaded: {_first_line(error)}.") from error


def _sha256(file: Path) -> str:
    """SHA-256 of a file; the Hugging Face cache names its blobs by it."""
    blob = file.resolve().name
    if file.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", blob):
        return blob
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")


def _keep_freed_memory() -> None:
    """Have glibc keep what a batch frees for the next one; otherwise a tenth of a scan goes into page faults."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD, its largest value
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
