"""Does the same as launch.pl on hosts without perl: launch.py REASON WORKDIR ENVIRONMENT PREFIX COMMAND ARGUMENT..."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import NoReturn

EXPORTABLE = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")


def refuse(reason: bytes, code: int, word: str, sentence: str) -> NoReturn:
    """Write the sentence to stderr and to the file `reason`, and exit with `code`."""
    sys.stderr.buffer.write(os.fsencode(f"{sentence}\n"))
    one_line = "".join(" " if ord(letter) < 32 or ord(letter) == 127 else letter for letter in sentence)
    Path(os.fsdecode(reason)).write_bytes(os.fsencode(f"{word} {one_line}\n"))
    sys.exit(code)


def main(reason: bytes, workdir: bytes, environment: bytes, prefix: bytes, *command: bytes) -> NoReturn:
    variables = dict(os.environb)
    # Python itself sets this variable if it finds no locale.
    variables.pop(b"LC_CTYPE", None)
    for pair in Path(os.fsdecode(environment)).read_bytes().split(b"\0")[:-1]:
        name, _, value = pair.partition(b"=")
        variables[prefix + name if EXPORTABLE.fullmatch(name) else name] = value
    try:
        os.chdir(workdir)
    except OSError as error:
        refuse(
            reason,
            128,
            "WorkingDirMissing",
            f"The working directory {os.fsdecode(workdir)} cannot be entered: {error.strerror}.",
        )
    os.umask(0o022)
    # A shell's background processes ignore the first two, Python ignores the others; the container would inherit that.
    for ignored in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, variables)  # noqa: S606 - this program must become the command
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        refuse(reason, code, "CommandNotRun", f"The command {os.fsdecode(command[0])} cannot be run: {error.strerror}.")


if __name__ == "__main__":
    main(*map(os.fsencode, sys.argv[1:]))
