"""From a model's name to a folder with config, tokenizer and safetensors weights. No torch here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import huggingface_hub
from huggingface_hub import errors as hub
from safetensors import SafetensorError, safe_open

from headtorch.core.errors import ModelError
from headtorch.core.model.layouts import find_layout

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parent / "demo" / "model"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")  # any one of them will do
OTHER_WEIGHTS = ("pytorch_model.bin", "*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.gguf")
WANTED = ["*.json", "*.txt", "*.model", "model*.safetensors"]
UNWANTED = ["*/*"]  # original weights, exports for other runtimes
LOCAL_HINT = "A local folder with config.json, tokenizer.json and model.safetensors works without the Hub."


@dataclass(frozen=True)
class Source:
    """A folder that a model can be loaded from. `revision` is the commit for a model of the Hugging Face Hub."""

    name: str
    kind: Literal["demo", "folder", "hub"]
    folder: Path
    revision: str | None = None


def find_source(name: str, revision: str | None = None) -> Source:
    """The folder behind "demo", a local path or a Hugging Face id (from the cache, else downloaded).

    Raises:
        ModelError: there is no such model, it is not complete, not readable or not supported; or the Hub is needed
            and cannot be reached.
    """
    name = name.strip()
    if not name:
        raise ModelError("The model has no name; give demo, a Hugging Face id such as gpt2, or a local folder.")
    path = Path(name).expanduser()
    if name == DEMO:
        source = Source(name, "demo", DEMO_FOLDER)
    elif path.is_dir():
        source = Source(name, "folder", path)
    elif path.is_file():
        raise ModelError(f"{name} is a file; give the folder that holds config.json and the safetensors weights.")
    elif path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"There is no folder {name}; give demo, a Hugging Face id such as gpt2, or a local folder.")
    else:
        source = _hub_source(name, revision)
    check_folder(source.folder, name)
    return source


def check_folder(folder: Path, name: str) -> None:
    """Raise ModelError unless `folder` holds a supported model whose files are whole.

    Only headers of the weights are read; a file cut short is found because its header promises more bytes.
    """
    find_layout(read_config(folder, name), name)
    missing = missing_files(folder)
    others = sorted({p.name for pattern in OTHER_WEIGHTS for p in folder.glob(pattern)} - {"training_args.bin"})
    if missing and missing[-1] == WEIGHTS and others:
        raise ModelError(_only_safetensors(name, others[0]))
    if missing:
        raise ModelError(f"{name} is not complete: {', '.join(missing)} missing in {folder}.")
    for file in weight_files(folder):
        try:
            with safe_open(folder / file, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{folder / file} cannot be read as safetensors; it is damaged or half-written, fetch it again."
            ) from error


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """config.json of a model folder; raises ModelError where there is none that can be read."""
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{name} is not a model folder: {file} is missing.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read; it is damaged or half-written, fetch it again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{file} does not hold the configuration of a model.")
    if config.get("quantization_config"):
        raise ModelError(f"{name} is quantised; use the original weights, whose directions can be read exactly.")
    return config


def missing_files(folder: Path) -> list[str]:
    """The files that loading needs and `folder` does not have; weights come last."""
    missing = [] if (folder / CONFIG).is_file() else [CONFIG]
    if not any((folder / file).is_file() for file in TOKENIZERS):
        missing.append(TOKENIZERS[0])
    return missing + [file for file in weight_files(folder) if not (folder / file).is_file()]


def weight_files(folder: Path) -> list[str]:
    """The safetensors files of a model folder: one, or those that its index lists."""
    index = folder / INDEX
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return [WEIGHTS]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{index} cannot be read; it is damaged or half-written, fetch it again.") from error


def _hub_source(name: str, revision: str | None) -> Source:
    """Config first, so that an unsupported model is refused before its weights are downloaded."""
    folder = _cached(name, revision)
    if folder is None or missing_files(folder):
        cached = folder
        with _hub_errors(name, revision, cached):
            folder = _download(name, revision, [CONFIG])
            find_layout(read_config(folder, name), name)
            folder = _download(name, revision, WANTED)
            if missing_files(folder):
                _explain_missing_weights(name, revision)
    return Source(name, "hub", folder, revision=folder.name)


def _explain_missing_weights(name: str, revision: str | None) -> None:
    """Raise: the Hub cannot be reached (its client then hands out what the cache has), or has other formats only."""
    files = [file.rfilename for file in huggingface_hub.model_info(name, revision=revision).siblings or []]
    others = sorted(file for file in files if any(Path(file).match(pattern) for pattern in OTHER_WEIGHTS))
    if others:
        raise ModelError(_only_safetensors(name, others[0]))


def _only_safetensors(name: str, file: str) -> str:
    return (
        f"{name} has its weights only as {file}, which can run code when it is read; "
        "headtorch reads safetensors only, so convert it (save_pretrained writes safetensors)."
    )


def _cached(name: str, revision: str | None) -> Path | None:
    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True,
                                                      allow_patterns=WANTED, ignore_patterns=UNWANTED))  # fmt: skip
    except (OSError, ValueError):
        return None


def _download(name: str, revision: str | None, patterns: list[str]) -> Path:
    return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=patterns,
                                                  ignore_patterns=UNWANTED))  # fmt: skip


@contextmanager
def _hub_errors(name: str, revision: str | None, cached: Path | None) -> Iterator[None]:
    """Turn what the Hub's client raises into one sentence."""
    try:
        yield
    except hub.HFValidationError:
        raise ModelError(
            f"There is no model {name!r}; give demo, a Hugging Face id such as gpt2, or a local folder."
        ) from None
    except hub.GatedRepoError:
        raise ModelError(
            f"{name} is gated on the Hugging Face Hub; accept its terms there and log in with `hf auth login`."
        ) from None
    except hub.RevisionNotFoundError:
        raise ModelError(f"{name} has no revision {revision!r} on the Hugging Face Hub.") from None
    except hub.RepositoryNotFoundError:
        raise ModelError(f"There is no model {name} on the Hugging Face Hub (a private one needs a login).") from None
    except (OSError, hub.HfHubHTTPError) as error:
        if getattr(error, "errno", None) == 28:  # no space left: says so itself
            raise
        needed = ", ".join(missing_files(cached) if cached else [CONFIG, TOKENIZERS[0], WEIGHTS])
        which = name if revision is None else f"{name} (revision {revision})"
        raise ModelError(
            f"The Hugging Face Hub cannot be reached and the cache lacks {needed} of {which}. {LOCAL_HINT}"
        ) from cast(Exception, error)
