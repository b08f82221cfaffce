"""Runs in TensorBoard: a folder for each, of event files that PyTorch's own writer makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rgbench.escapes import for_file_name
from rgbench.extras import extra
from rgbench.runs.plan import Plan
from rgbench.runs.trackers import values
from rgbench.runs.trackers.tracker import Page, Tracker
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord


class TensorBoard(Tracker):
    """A tracker that writes event files: ``tensorboard --logdir FOLDER`` shows them, while the runs go on too.

    Parameters
    ----------
    folder : path, optional
        Where to write; by default ``tensorboard`` in the store.

    Raises
    ------
    SpecError
        If the package tensorboard is missing.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        super().__init__()
        self.folder = None if folder is None else Path(folder)
        self._torch: Any = extra("torch.utils.tensorboard", "it", "tensorboard", "tensorboard")
        self._home = Path()

    def starts(self, plan: Plan) -> None:
        """Find the folder."""
        self._home = self.folder or (plan.store or Path()) / "tensorboard"

    def has(self, spec: RunSpec) -> bool:
        """Tell whether the folder of a run holds its end."""
        return any(self._place(spec).glob("*.complete"))

    def page(self, spec: RunSpec) -> Page:
        """Open a run in its folder; what it wrote before it was stopped is written anew."""
        return _Events(self._torch, self._place(spec), spec)

    def _place(self, spec: RunSpec) -> Path:
        return self._home / for_file_name(values.name(spec))


class _Events(Page):
    """The event files of one run."""

    def __init__(self, torch: Any, folder: Path, spec: RunSpec) -> None:
        super().__init__()
        self._torch, self._folder = torch, folder
        # From the first epoch on, what stands in older files of the folder no longer counts.
        self._writer = torch.SummaryWriter(str(folder), purge_step=1)
        indented = json.dumps(spec.settings(), indent=1, sort_keys=True).replace("\n", "\n    ")
        self._writer.add_text("spec", f"    {indented}", 0)
        self._writer.flush()

    def write(self, numbers: dict[str, float], epoch: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self, record: RunRecord, numbers: dict[str, float]) -> None:
        self._writer.close()
        # The ending of its name tells that the run needs not be written again.
        writer = self._torch.SummaryWriter(str(self._folder), filename_suffix=f".{record.status}")
        for summary in self._torch.summary.hparams(_hparams(record.trained), numbers):
            writer.file_writer.add_summary(summary)
        for name, value in numbers.items():
            writer.add_scalar(name, value, self.epochs)
        writer.add_text("status", f"    {record.status} {record.error or ''}", self.epochs)
        writer.close()


def _hparams(spec: RunSpec) -> dict[str, values.Value]:
    return {**values.tags(spec), **values.parameters(spec)}
