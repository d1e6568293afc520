"""What can be told of a model from its config.json and the sizes of its files, before it is loaded. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headtorch.core.errors import ModelError
from headtorch.core.model.layouts import LAYOUTS
from headtorch.core.records import Record

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
_LAYERS = ("n_layer", "num_hidden_layers", "n_layers", "num_layers")
_HEADS = ("n_head", "num_attention_heads", "n_heads", "num_heads")
_WIDTH = ("n_embd", "hidden_size", "d_model", "n_embed")
_NEURONS = ("n_inner", "intermediate_size", "ffn_dim", "ffn_hidden_size")


class ModelPreview(Record, frozen=True, kw_only=True):
    """A model's measures. Bytes are those of the weight files; `stored` is the dtype that they are in."""

    name: str
    folder: str
    family: str
    n_layers: int
    n_heads: int
    d_model: int
    d_mlp: int
    d_vocab: int
    weight_bytes: int
    stored: str

    @property
    def parameters(self) -> int:
        """How many numbers the weight files hold."""
        return self.weight_bytes // BYTES.get(self.stored, 4)

    def memory(self, cpu: bool) -> int:
        """Bytes the weights take once loaded: float32 on the CPU, as they are stored on a GPU."""
        return self.parameters * 4 if cpu else self.weight_bytes

    @property
    def gated(self) -> bool:
        """Whether its neurons have a gate."""
        return LAYOUTS[self.family].gated

    def flops_per_token(self, layers: int | None = None) -> float:
        """Multiplications and additions of a forward pass through the first `layers` layers, attention scores aside."""
        per_layer = 4 * self.d_model**2 + 2 * self.d_model * self.d_mlp
        return 2.0 * per_layer * (self.n_layers if layers is None else layers)


def local_folder(name: str) -> Path | None:
    """The folder of a model that needs no download: the demo, a folder, or what the Hugging Face cache has."""
    from headtorch.core.model.sources import CONFIG, DEMO, DEMO_FOLDER

    if name == DEMO:
        return DEMO_FOLDER
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return path
    except (OSError, RuntimeError, ValueError):  # too long for a path, or no such home
        return None
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, CONFIG)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def preview_model(name: str) -> ModelPreview | None:
    """The measures of a model at hand; None for one that would be downloaded first.

    Raises ModelError for a model that is there and cannot be studied, with the sentence that loading would give.
    """
    from headtorch.core.model.sources import check_folder, find_source, read_config, weight_files

    name = name.strip()
    folder = local_folder(name) if name else None
    if folder is None:
        if _can_only_be_a_path(name):
            find_source(name)  # raises
        return None
    check_folder(folder, name)
    config = read_config(folder, name)
    config = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    width = _number(config, _WIDTH, name)
    return ModelPreview(
        name=name,
        folder=str(folder),
        family=str(config.get("model_type")),
        n_layers=_number(config, _LAYERS, name),
        n_heads=_number(config, _HEADS, name),
        d_model=width,
        d_mlp=_number(config, _NEURONS, name, 4 * width),
        d_vocab=_number(config, ("vocab_size",), name),
        weight_bytes=sum((folder / file).stat().st_size for file in weight_files(folder)),
        stored=str(config.get("dtype") or config.get("torch_dtype") or "float32"),
    )


def _can_only_be_a_path(name: str) -> bool:
    return not name or name.startswith((".", "~", "/")) or name.count("/") > 1 or Path(name).is_file()


def _number(config: Mapping[str, Any], fields: tuple[str, ...], name: str, default: int | None = None) -> int:
    value = next((config[field] for field in fields if config.get(field) is not None), default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ModelError(
            f"The config.json of {name} does not say {fields[0]}; it is damaged or of another kind of model."
        )
    return value
