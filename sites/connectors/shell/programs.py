"""The texts of shell programs, which lie in the folder `programs/` of the package that runs them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def read_program(package: str, name: str) -> str:
    """programs/<name>.sh of a package. Read once in each process."""
    return files(package).joinpath("programs", f"{name}.sh").read_text(encoding="utf-8")
