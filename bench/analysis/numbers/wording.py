"""Numbers as text, the same in sentences and in tables."""

MINUS = "−"


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign; that of 0 is +."""
    return f"{_rounded(value, digits):+.{digits}f}".replace("-", MINUS)


def interval(low: float, high: float, digits: int = 3) -> str:
    """The limits of a mean."""
    limits = (f"{_rounded(limit, digits):.{digits}f}" for limit in (low, high))
    return " to ".join(limits).replace("-", MINUS)


def signed_interval(low: float, high: float, digits: int = 3) -> str:
    """The limits of a difference."""
    return f"{signed(low, digits)} to {signed(high, digits)}"


def _rounded(value: float, digits: int) -> float:
    """The value as it is printed; one that rounds to 0 is not negative."""
    return round(value, digits) + 0.0
