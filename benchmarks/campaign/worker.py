"""A process that tries files one after the other, and its keeper, who ends it when it takes too long or too much."""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.campaign.trials import Verdict

SECONDS, MEGABYTES, ADDRESS_SPACE = 20.0, 2000, 6 << 30
ROOT = Path(__file__).parents[2]


class Keeper:
    """Keeps one worker; starts another when it ends.

    Parameters
    ----------
    ground : Path
        Working directory of the trials.
    """

    def __init__(self, ground: Path) -> None:
        self.ground = ground
        self._worker: subprocess.Popen[str] | None = None

    def try_file(self, trial: str, path: Path, seconds: float = SECONDS) -> Verdict:
        """Try a file in the worker; that it crashes, takes too long or too much memory is a verdict too."""
        worker = self._start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps([trial, str(path)]) + "\n")
        worker.stdin.flush()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([worker.stdout], [], [], 0.05)[0]:
                answer = worker.stdout.readline()
                return Verdict(**json.loads(answer)) if answer else self._crashed(worker)
            if _resident(worker.pid) > MEGABYTES:
                self.stop()
                return Verdict(False, f"more than {MEGABYTES} MB of memory")
        self.stop()
        return Verdict(False, f"more than {seconds:.0f} s")

    def stop(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
            self._worker = None

    def _crashed(self, worker: subprocess.Popen[str]) -> Verdict:
        code = worker.wait()
        self.stop()
        return Verdict(False, f"the process ended with {code}")

    def _start(self) -> subprocess.Popen[str]:
        if self._worker is None:
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
            }
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.campaign.worker", str(self.ground)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
                cwd=self.ground,
            )
            assert self._worker.stdout is not None
            self._worker.stdout.readline()  # it is ready
        return self._worker


def _resident(pid: int) -> float:
    """Give the memory of a process in megabytes; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


def _serve(ground: Path) -> None:
    """Answer each line of standard input, a trial and a path, with a verdict."""
    from benchmarks.campaign.trials import judge

    # What a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.collect()
    gc.freeze()  # what is loaded need not be gone through after each trial
    _say(answers, "ready")
    for line in sys.stdin:
        trial, path = json.loads(line)
        _say(answers, asdict(judge(trial, Path(path), ground)))


def _say(answers: Any, content: Any) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
