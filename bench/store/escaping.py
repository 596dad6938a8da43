"""Escapes names from files, so that terminals, Markdown and CSV show them as plain text.

HTML is escaped by `html.escape` and jinja, LaTeX in `bench.analysis.report.markup`.
"""

import re
from typing import Any

from rich.markup import escape

# control characters, and those that reverse what follows; line ends and tabs are text
INVISIBLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
IN_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": " ", "\r": " "}
BEGINS_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def for_terminal(text: Any) -> str:
    """Text in which what would act on a terminal stands as Python writes it, such as \\x1b."""
    return INVISIBLE.sub(lambda found: _written(found[0]), str(text))


def for_rich(text: Any) -> str:
    """The same for consoles of rich, whose markup it does not hold either."""
    return escape(for_terminal(text))


def for_markdown(text: Any) -> str:
    """Text that Markdown shows as it is: no tags, links, code or emphasis, and on one line.

    A `<` before a space begins no tag and stays, so that p < 0.05 can be read in the file, too.
    """
    shown = for_terminal(re.sub(r"([\\`*|]|\](?=[(\[:])|!(?=\[))", r"\\\1", str(text)))
    return re.sub(r"&(?=[#\w]+;)|<(?! )|[>\n\r]", lambda found: IN_MARKDOWN[found[0]], shown)


def for_csv(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: such a text gets an apostrophe in front.

    `from_csv` undoes it. Numbers stay what they are.
    """
    if isinstance(value, str) and BEGINS_FORMULA.match(value) and not _is_number(value):
        return f"'{value}"
    return value


def from_csv(text: str) -> str:
    """The text of a cell that `for_csv` gave."""
    return text[1:] if text.startswith("'") and BEGINS_FORMULA.match(text[1:]) else text


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
