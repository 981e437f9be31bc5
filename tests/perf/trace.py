"""Which calls a process makes that touch files in a folder: by strace(1)."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CALL = re.compile(r"\d+ +(\d+\.\d+) (\w+)\((.*)")


@dataclass(frozen=True)
class Touched:
    """Calls that name something in the folder: when each was, and which."""

    moments: tuple[float, ...]
    calls: Counter[str]

    def bursts(self, pause: float) -> list[list[float]]:
        """Cut the calls where none came for ``pause`` seconds."""
        found: list[list[float]] = [[m] for m in self.moments[:1]]
        for before, after in pairwise(self.moments):
            if after - before > pause:
                found.append([])
            found[-1].append(after)
        return found


def touched(
    pids: Sequence[int], folders: Sequence[Path], seconds: float
) -> Touched | None:
    """Watch processes for a while; every call with a path counts, and getdents64.

    Paths of descriptors are shown too (``-y``), so reading a folder that was opened
    before is seen.  None where there is no strace, or it may not look.
    """
    strace = shutil.which("strace")
    if strace is None:
        return None
    with TemporaryDirectory(prefix="pointsman-") as name:
        output = Path(name) / "calls"
        command = [strace, "-f", "-y", "-ttt", "-s", "200", "-o", str(output)]
        command += ["-e", "trace=%file,getdents64,fstat,read"]
        command += [part for pid in pids for part in ("-p", str(pid))]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        if process.poll() is not None:  # it may not look, and has said so
            return None
        process.send_signal(signal.SIGINT)
        process.wait(30)
        return _counted(output.read_text("utf-8", "replace"), folders)


def _counted(text: str, folders: Sequence[Path]) -> Touched:
    moments, calls = [], Counter[str]()
    for line in text.splitlines():
        match = _CALL.match(line)
        if match and any(str(folder) in match[3] for folder in folders):
            moments.append(float(match[1]))
            calls[match[2]] += 1
    return Touched(tuple(moments), calls)
