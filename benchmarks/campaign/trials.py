"""What is done with a broken file, and what is held: a result, or an error of rgbench in one clean line."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.campaign.specimens import copy_store
from rgbench.cli.app import main
from rgbench.data.own.sources import read_sources
from rgbench.data.public.archive import Limits, read_members
from rgbench.data.public.unpickle import load_batch, read_batches
from rgbench.errors import RgbenchError
from rgbench.runs.check import check_study
from rgbench.runs.study import find_study

LONGEST = 2000
"""Characters of an error's line; what is longer buries what it has to say."""


class Bad(Exception):
    """What came out is wrong although nothing raised; the message is the kind of wrong."""


READERS = ("rgbench.images.apart", "rgbench.networks.keras.contents")
"""Modules that are run as processes of their own."""


@dataclass(frozen=True)
class Verdict:
    """How a trial went: "held", or "failed" with a signature that equal faults share, and details."""

    held: bool
    signature: str
    detail: str = ""


def judge(trial: str, path: Path, ground: Path) -> Verdict:
    """Try one file; nothing of it stays, and nothing may be written elsewhere."""
    with tempfile.TemporaryDirectory(dir=ground) as scratch, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        watch = _watch()
        watch.allowed, watch.seen = (scratch, os.devnull), []
        tempfile.tempdir = scratch
        try:
            word = TRIALS[trial](path, ground, Path(scratch))
            verdict = Verdict(True, word)
        except RgbenchError as error:
            verdict = _judge_message(str(error))
        except Bad as error:
            verdict = Verdict(False, str(error).splitlines()[0][:200], str(error))
        except BaseException as error:  # whatever escapes is what is looked for
            verdict = Verdict(False, _signature(error), traceback.format_exc()[-1500:])
        finally:
            watch.allowed, tempfile.tempdir = (), None
        gc.collect()  # files that were left open warn now, not in a later trial
        left = sorted(p.name for p in Path(scratch).rglob(".tmp-*"))
    if watch.seen:
        return Verdict(False, "touches what it must not", "; ".join(watch.seen[:5]))
    if left:
        return Verdict(False, "leaves a temporary file", ", ".join(left))
    if warned and verdict.held:
        first = warned[0]
        return Verdict(
            False,
            f"warning {first.category.__name__} {_place(first.filename, first.lineno)}",
            str(first.message),
        )
    return verdict


class Watch:
    """An audit hook that notes files opened for writing elsewhere, programs started and connections made."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """Note one event while a trial is under way."""
        if not self.allowed:
            return
        if event == "open":
            name, mode, flags = arguments[0], arguments[1], arguments[2]
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(name, str | bytes | os.PathLike):
                self._check(f"open {mode}", os.fsdecode(name))
        elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link"):
            # What is named within an open folder, as when a tree is removed, lies where the folder lies.
            inside = event in ("os.remove", "os.rmdir") and arguments[-1] not in (-1, None)
            if not inside and isinstance(arguments[0], str | bytes | os.PathLike):
                self._check(event, os.fsdecode(arguments[0]))
        elif event == "subprocess.Popen" and _is_reader(arguments[1]):
            return
        elif event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"):
            self.seen.append(event)

    def _check(self, what: str, name: str) -> None:
        place = os.path.realpath(name)
        if not any(place.startswith(os.path.realpath(each)) for each in self.allowed):
            self.seen.append(f"{what} {place}")


def _is_reader(command: object) -> bool:
    """Tell whether a command is one of the processes in which rgbench reads what crashes C libraries."""
    words = command if isinstance(command, list) else []
    return words[:1] == [sys.executable] and any(word in READERS for word in words)


@cache
def _watch() -> Watch:
    """Give the process's one watch: an audit hook cannot be taken away again."""
    return Watch()


def _place(file: str, number: int) -> str:
    parts = Path(file).parts
    return "/".join(parts[-2:]) + f":{number}"


def _signature(error: BaseException) -> str:
    """Give the kind of an error and the last line of rgbench that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/rgbench/" in f.filename]
    return f"{type(error).__name__} {_place(own[-1].filename, own[-1].lineno or 0) if own else ''}"


def _judge_message(text: str) -> Verdict:
    if not text.strip():
        return Verdict(False, "an error without words")
    if any(not (c.isprintable()) for c in text):
        return Verdict(False, "an error with line breaks or control characters", repr(text[:600]))
    if len(text) > LONGEST:
        return Verdict(False, f"an error of more than {LONGEST} characters", text[:600])
    return Verdict(True, "refused")


def _rgbench(*arguments: str) -> str:
    """Run a command in this process; give what it printed, or raise as its end says."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(a) for a in arguments])
            code: object = 0
        except SystemExit as end:
            code = end.code
    if code in (0, None):
        return out.getvalue()
    said = err.getvalue().strip()
    if code in (1, 2) and said.startswith("error: ") and "Traceback" not in said:
        raise RgbenchError(said.removeprefix("error: "))
    raise Bad(f"exit code {code}: {said[-300:]}")


def _check_classes(path: Path) -> None:
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            p = np.array([float(v or "nan") for k, v in row.items() if k.startswith("p_")])
            if row["class"] and not (np.isfinite(p).all() and abs(p.sum() - 1) < 1e-4):
                raise Bad("a class with probabilities that are none")


def _predict(path: Path, ground: Path, scratch: Path) -> str:
    out = scratch / "p.csv"
    _rgbench("predict", path, "--classifier", ground / "small-1.safetensors", "--out", out)
    _check_classes(out)
    return "result"


def _check(path: Path, ground: Path, scratch: Path) -> str:
    folder = scratch / "images/FRI"
    folder.mkdir(parents=True)
    shutil.copy(path, folder)
    _rgbench("data", "check", folder.parent)
    return "result"


def _table(path: Path, ground: Path, scratch: Path) -> str:
    found = read_sources(path)
    ra, dec = np.asarray(found.ra), np.asarray(found.dec)
    if ((ra < 0) | (ra >= 360) | (np.abs(dec) > 90) | np.isinf(ra) | np.isinf(dec)).any():
        raise Bad("a position that is not on the sky")
    return "result"


def _keras(path: Path, ground: Path, scratch: Path) -> str:
    store = scratch / "store"
    _rgbench("import-keras", path, "--store", store, "--pixel-scale", "1.8")
    (run,) = (store / "runs").iterdir()
    image = next(iter(sorted((ground / "sky/FRI").glob("*.fits"))))
    _rgbench("predict", image, "--store", store, "--run", run.name, "--out", scratch / "p.csv")
    _check_classes(scratch / "p.csv")
    return "result"


def _study(path: Path, ground: Path, scratch: Path) -> str:
    check_study(find_study(str(path)))
    return "result"


def _pickle(path: Path, ground: Path, scratch: Path) -> str:
    load_batch(path.read_bytes(), path.name)
    return "result"


def _batches(path: Path, ground: Path, scratch: Path) -> str:
    found = read_batches(path, (4, 4))
    if found.images.shape[1:] != (4, 4):
        raise Bad("images of another shape")
    return "result"


def _archive(path: Path, ground: Path, scratch: Path) -> str:
    limits, total = Limits(), 0
    for name, content in read_members(path):
        total += len(content)
        if ".." in name.split("/") or name.startswith("/") or len(content) > limits.member_bytes:
            raise Bad("a member that leads out or is larger than legal")
    if total > limits.total_bytes:
        raise Bad("more bytes than legal")
    return "result"


def _store(path: Path, ground: Path, scratch: Path) -> str:
    run = copy_store(ground, scratch / "store")
    shutil.copyfile(path, run / path.name)
    if path.suffix == ".safetensors":
        image = next(iter(sorted((ground / "sky/FRI").glob("*.fits"))))
        _rgbench(
            "predict", image, "--store", scratch / "store", "--run", run.name, "--out", scratch / "p.csv"
        )
        _check_classes(scratch / "p.csv")
    else:
        _rgbench("report", "--store", scratch / "store")
    return "result"


def _classifier(path: Path, ground: Path, scratch: Path) -> str:
    image = next(iter(sorted((ground / "sky/FRI").glob("*.fits"))))
    _rgbench("predict", image, "--classifier", path, "--out", scratch / "p.csv")
    _check_classes(scratch / "p.csv")
    return "result"


TRIALS: dict[str, Callable[[Path, Path, Path], str]] = {
    "predict": _predict,
    "check": _check,
    "table": _table,
    "keras": _keras,
    "study": _study,
    "pickle": _pickle,
    "batches": _batches,
    "archive": _archive,
    "store": _store,
    "classifier": _classifier,
}
