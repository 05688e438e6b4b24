"""Reads the texts of shell programs from the folder `programs/` of the package that runs them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def read_program(package: str, name: str) -> str:
    """Return the text of a package's programs/<name>.sh. Each process reads it once."""
    return files(package).joinpath("programs", f"{name}.sh").read_text(encoding="utf-8")
