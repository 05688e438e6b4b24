from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane.ops import serve

if TYPE_CHECKING:
    import pytest


def test_web_processes_share_their_own_folder_of_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    serve.share_counters()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()


def test_counters_of_an_earlier_server_are_not_included(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    serve.share_counters()
    (tmp_path / "metrics" / "counter_1.db").touch()
    serve.share_counters()
    assert list((tmp_path / "metrics").iterdir()) == []


def test_the_server_gets_the_settings() -> None:
    argv = serve.granian_command(host="127.0.0.1", port=8123)
    assert argv[argv.index("--port") + 1] == "8123"
    assert argv[-1] == "controlplane.wsgi:application"
