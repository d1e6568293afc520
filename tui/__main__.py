"""python -m headtorch"""

from __future__ import annotations

from headtorch.tui.cli import main

if __name__ == "__main__":
    main()
