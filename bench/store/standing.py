"""How a run stands, and the summary that marks it as finished."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from bench.config.identity import SCHEMA
from bench.store.files import ALTERED, CHECKSUM, is_as_sealed, read_json
from bench.store.layout import FILES

NEWER = f"comes from a newer version; this version reads schema {SCHEMA}"
UPDATE = "Update the suite, or choose another folder with results_dir=DIR."
RUN_AGAIN = "Run the same command to repeat it."


class Status(StrEnum):
    """Status of a run."""

    FINISHED = "finished"
    RUNNING = "running"
    FAILED = "failed"
    SKIPPED = "skipped"  # a combination that cannot work
    INTERRUPTED = "interrupted"
    RESUMABLE = "resumable"  # of a sweep: interrupted, and goes on from where it was
    MISSING = "missing"
    DAMAGED = "damaged"  # cannot be read


class Standing(NamedTuple):
    """Status of a run.

    Attributes:
        status: In a word.
        reason: Why it failed, was skipped or is damaged, and what to do.
        summary: Of a finished run.
    """

    status: Status
    reason: str = ""
    summary: dict[str, Any] | None = None


def read_summary(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The summary of a run.

    Args:
        path: Its file.

    Returns:
        The summary, and what is wrong with one that is there and what to do; None and nothing if
        there is none.
    """
    content = read_json(path)
    if content is None and not path.exists():
        return None, ""
    fault = "cannot be read" if content is None else _fault_of(content)
    if not fault:
        return content, ""
    return None, f"{path.name} {fault}. {UPDATE if fault == NEWER else RUN_AGAIN}"


def _fault_of(content: Mapping[str, Any]) -> str | None:
    """What makes a JSON object no summary of a finished run; None if it is one."""
    if CHECKSUM in content and not is_as_sealed(content):
        return ALTERED
    schema = content.get("schema")
    finished = content.get("status") == Status.FINISHED
    if not (isinstance(schema, int) and finished and isinstance(content.get(FILES, {}), dict)):
        return "is not the summary of a finished run"
    if schema > SCHEMA:
        return NEWER
    scores = content.get("scores")
    if not isinstance(scores, dict) or not all(_is_score(score) for score in scores.values()):
        return "has no scores"
    return None


def _is_score(content: Any) -> bool:
    mean = content.get("mean", "") if isinstance(content, dict) else ""
    return mean is None or isinstance(mean, int | float)
