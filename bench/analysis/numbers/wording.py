"""Numbers as text, the same in sentences and in tables."""

from bench.errors import counted

MINUS = "−"


def plain(value: float, digits: int = 3) -> str:
    """A number, with the minus of print if it has one."""
    return f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def interval(low: float, high: float, digits: int = 3) -> str:
    """The limits of a mean."""
    return f"{plain(low, digits)} to {plain(high, digits)}"


def signed_interval(low: float, high: float, digits: int = 3) -> str:
    """The limits of a difference."""
    return f"{signed(low, digits)} to {signed(high, digits)}"


def pairs_in_groups(pairs: int, units: int) -> str:
    """Number of test pairs, and of the groups that share subjects, if that is another."""
    return counted(pairs, "test pair") + (f" in {units} groups" if units < pairs else "")
