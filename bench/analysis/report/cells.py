"""Cells and rows of exported tables, as they are written."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bench.store.files import as_csv

DIGITS = 6  # significant ones
Row = dict[str, str]


def in_order(rows: Mapping[str, list[Row]]) -> list[Row]:
    return [row for name in sorted(rows) for row in rows[name]]


def as_table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as CSV; without any, the columns that a reader asks for."""
    return as_csv(rows) if rows else ",".join(columns) + "\n"


def filled(rows: Sequence[Row]) -> list[Row]:
    """Rows without the columns that are empty in all of them."""
    used = [name for name in (rows[0] if rows else ()) if any(row[name] != "" for row in rows)]
    return [{name: row[name] for name in used} for row in rows]


def as_yaml(value: Any) -> str:
    """A value on one line, as YAML writes it."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()


def date_of(file: Path) -> str:
    """The day on which a file was written, in UTC; empty if it is not there."""
    if not file.exists():
        return ""
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%d")


def written(value: Any) -> str:
    """A cell: numbers are rounded, what is not known is empty."""
    if value is None or value != value:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
