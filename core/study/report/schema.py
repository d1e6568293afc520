"""The schema of report.json, in JSON Schema 2020-12. The file beside this one is what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from headtorch.core.study.report.contents import Report

SCHEMA_FILE = Path(__file__).with_name("report.schema.json")


def report_schema() -> dict[str, Any]:
    """The schema as the records say it. Fields are only ever added; anything else raises the report's `format`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of a headtorch study",
        **msgspec.json.schema(Report),
    }


def write_schema() -> None:
    """Write the shipped file anew, after a record has changed."""
    text = msgspec.json.format(msgspec.json.encode(report_schema(), order="deterministic"), indent=1)
    SCHEMA_FILE.write_bytes(text + b"\n")
