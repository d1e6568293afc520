"""Layer specifications: all, last:5, 0-3, 2,5."""

from __future__ import annotations

import re

from headtorch.core.errors import AddressError


def parse_layers(spec: str, n_layers: int) -> list[int]:
    """The layers that `spec` stands for, ascending: "all", "last:5", "0-3", "2,5" or a mixture like "0-1,5".

    Raises:
        AddressError: the text is no such specification, or names a layer that the model does not have.
    """
    text = spec.strip().lower()
    if text == "all":
        return list(range(n_layers))
    if found := re.fullmatch(r"last:(\d{1,6})", text):
        if int(found[1]) == 0:
            raise AddressError("last:0 names no layer; write last:1 for the last one.")
        return list(range(max(0, n_layers - int(found[1])), n_layers))
    layers: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*", part)
        if not found:
            raise AddressError(f"{spec!r} names no layers; write all, last:5, 0-3 or 2,5.")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise AddressError(f"{part.strip()!r} counts backwards; write {last}-{first}.")
        if last >= n_layers:
            raise AddressError(f"The model has no layer {last}; its layers are 0-{n_layers - 1}.")
        layers.update(range(first, last + 1))
    return sorted(layers)
