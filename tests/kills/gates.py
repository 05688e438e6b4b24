"""Steps of a submission at which the site pauses (pause.sh), so that a kill happens exactly there."""

from __future__ import annotations

import os
import pwd
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

#: Each step with the action before which it pauses, in the order of a submission. `fencing` belongs to recovery.
STEPS = {
    "unpacking": "unpack the batch",
    "staged": "rename `open` to `submitting`",
    "launching": "set sbatch's time limit, with `submitting` in place",
    "submitting": "call sbatch",
    "submitted": "write native_id, sbatch having answered",
    "answering": "hand the answer to the worker",
    "fencing": "rename `open` to `fenced`",
}
_PROGRAMS = ("tar", "mv", "timeout", "sbatch", "rm")


@dataclass(frozen=True)
class Gates:
    """folder: first on the PATH of the site's account, which writes into `gates/` in it."""

    folder: Path

    @classmethod
    def install(cls, folder: Path, user: str) -> Gates:
        """Copy the gate programs into `folder`, which `user` can reach."""
        folder.mkdir(mode=0o755)
        for name in _PROGRAMS:
            shutil.copy(Path(__file__).with_name("pause.sh"), folder / name)
            (folder / name).chmod(0o755)
        (folder / "gates").mkdir(mode=0o755)
        account = pwd.getpwnam(user)
        os.chown(folder / "gates", account.pw_uid, account.pw_gid)
        return cls(folder)

    def arm(self, step: str, *, skip: int, seconds: float) -> None:
        """Make every program that reaches `step` pause for this many seconds, after the first `skip` have passed."""
        self.disarm()
        wish = self._gate("wish")
        wish.write_text(f"{step} {skip} {seconds:.2f}\n", encoding="ascii")
        wish.chmod(0o644)
        wish.rename(self._gate("armed"))

    def reached(self, *, within: float) -> bool:
        """Wait until a program pauses at the armed step. Return False if none does in time."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self._gate("reached").exists():
                return True
            time.sleep(0.01)
        return False

    def disarm(self) -> None:
        """Let programs pass again. A program that already pauses still does so for its full time."""
        for name in ("armed", "calls", "reached"):
            self._gate(name).unlink(missing_ok=True)

    def _gate(self, name: str) -> Path:
        return self.folder / "gates" / name
