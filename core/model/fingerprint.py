"""Hashes that identify a model's weights, however they were loaded."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from transformers import PreTrainedModel

# Fields of a config that say how or by what it was loaded, not what the model computes.
VOLATILE = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "_attn_implementation", "use_cache",
            "_commit_hash"}  # fmt: skip


def config_digest(config: dict[str, Any]) -> str:
    """Hash of a config without the fields that do not change what the model computes."""
    kept = {key: value for key, value in config.items() if key not in VOLATILE}
    return hashlib.blake2b(json.dumps(kept, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def module_fingerprint(hf: PreTrainedModel) -> str:
    """Hash of a model in memory: its config and every tensor of its state, by name."""
    digest = hashlib.blake2b(config_digest(hf.config.to_dict()).encode(), digest_size=16)
    for name, tensor in sorted(hf.state_dict().items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
