"""Numbers as text, the same in sentences and in tables."""

MINUS = "−"


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def interval(low: float, high: float, digits: int = 3) -> str:
    """The limits of a mean."""
    return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", MINUS)


def signed_interval(low: float, high: float, digits: int = 3) -> str:
    """The limits of a difference."""
    return f"{signed(low, digits)} to {signed(high, digits)}"
