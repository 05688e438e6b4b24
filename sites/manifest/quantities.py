"""Quantities as Kubernetes writes them: 500m, 1.5, 2Gi, 1e3, 128974848."""

from __future__ import annotations

import re
from fractions import Fraction

from controlplane.errors import BadRequest

# Digits and exponent are bounded so that no quantity can cost memory or time.
QUANTITY = re.compile(r"\+?(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,2}))?", re.A)

MULTIPLES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "k": Fraction(10**3),
    **{letter: Fraction(1000**power) for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


def parse_quantity(value: object, place: str) -> Fraction:
    """An exact number, never negative. BadRequest names the place where it is no quantity."""
    written = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    match = QUANTITY.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise BadRequest(f"{place} is not a quantity such as 500m, 2 or 1.5Gi.")
    number, suffix, exponent = match.groups()
    scale = Fraction(10) ** int(exponent) if exponent else MULTIPLES.get(suffix or "", Fraction(1))
    # Fraction reads "1.5" and ".5", but not "1.".
    return Fraction(number.removesuffix(".")) * scale
