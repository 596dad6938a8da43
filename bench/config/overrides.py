"""Values in Hydra's grammar of overrides, which Hydra reads back unchanged."""

import re
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

PLAIN = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
NO_TEXT = {"null", "true", "false", "nan", "inf"}
SPECIAL_IN_KEYS = re.compile(r"([\\()\[\]{}:=,\t])")


def quoted(value: Any) -> str:
    """A value in the form of an override: `f"metric.name={quoted(name)}"`.

    Args:
        value: A text, a number, a truth value, None, or a list or mapping of those. Quotes texts
            that Hydra would read as something else; interpolations stay text.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if PLAIN.fullmatch(value) and value.lower() not in NO_TEXT:
            return value
        literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
        return QuotedString(literal, Quote.single).with_quotes()
    if isinstance(value, Mapping):
        entries = (f"{_key(key)}:{quoted(entry)}" for key, entry in value.items())
        return "{" + ",".join(entries) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(quoted(part) for part in value) + "]"
    return repr(value)


def _key(key: Any) -> str:
    return SPECIAL_IN_KEYS.sub(r"\\\1", key) if isinstance(key, str) else quoted(key)
