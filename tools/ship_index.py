"""Builds the index of the default question anew and packs it into the package, where `unpack_shipped` looks for it.

python tools/ship_index.py
"""

from __future__ import annotations

import lzma
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from headtorch.core.analysis.index import SHIPPED
from headtorch.core.engine.presets import DEFAULT_LAYERS
from headtorch.core.engine.workspace import Workspace
from headtorch.core.settings import Settings


def main() -> None:
    workspace = Workspace(Settings(layers=DEFAULT_LAYERS), device="cpu")
    workspace.shipped_index = False
    index = replace(workspace.index, shipped=True)
    SHIPPED.mkdir(exist_ok=True)
    for old in SHIPPED.glob("*.xz"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        path = index.save(Path(folder))
        packed = SHIPPED / f"{path.name}.xz"
        packed.write_bytes(lzma.compress(path.read_bytes(), preset=9))
    sys.stdout.write(f"{packed.name}: {packed.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
