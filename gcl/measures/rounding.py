"""How many digits of a measured value are stored and shown."""

UNKNOWN = "-"
"""What is shown instead of a number that is not known."""


def rounded(value: float | None) -> float | None:
    """Six digits: the ones after them differ from machine to machine."""
    return None if value is None else float(f"{value:.6g}")


def shown(value: float | None) -> str:
    """Four digits."""
    return UNKNOWN if value is None else f"{value:.4g}"
