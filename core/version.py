"""The version of headtorch that runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def version() -> str:
    """As installed; "0+unknown" when run from a folder that was never installed."""
    try:
        return installed_version("headtorch")
    except PackageNotFoundError:
        return "0+unknown"
