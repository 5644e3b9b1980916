"""How many digits of a measured value are stored and shown."""

UNKNOWN = "-"
"""What is shown instead of an unknown value."""


def rounded(value: float | None) -> float | None:
    """``value`` rounded to six significant digits, because further digits differ from machine to machine."""
    return None if value is None else float(f"{value:.6g}")


def shown(value: float | None) -> str:
    """``value`` as text with four significant digits."""
    return UNKNOWN if value is None else f"{value:.4g}"
