"""What a newcomer reads first: `make help`."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from pathlib import Path

ROOT: Path = settings.BASE_DIR


def test_make_help_lists_each_target_once_with_a_description() -> None:
    argv = ["make", "--no-print-directory", "help"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    told = re.findall(r"^make (\w+) +\S.+$", done.stdout, re.MULTILINE)
    assert told == targets[1].split()
    assert len(done.stdout.splitlines()) == len(told)
