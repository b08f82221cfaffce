"""Options of the commands whose work goes to a queue of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from rgbench.cli.help import MACHINES

ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        rich_help_panel=MACHINES,
        help="K/N: compute only the K-th of N shares of the work, K from 1, as one job of a queue; the command "
        "without it, when all are done, writes the result.",
    ),
]
JobScriptOption = Annotated[
    int | None,
    typer.Option(
        "--job-script",
        rich_help_panel=MACHINES,
        min=1,
        help="Print a job script for a queue (Slurm, PBS, LSF) of so many jobs.",
    ),
]
SlurmOption = Annotated[
    bool,
    typer.Option(
        "--slurm",
        rich_help_panel=MACHINES,
        help="Compute as an array of Slurm jobs, --jobs of them at most (extra slurm).",
    ),
]
SlurmSettingOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm-option",
        rich_help_panel=MACHINES,
        help="KEY=VALUE of submitit, as slurm_partition=cpu or timeout_min=60.",
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        rich_help_panel=MACHINES,
        help="Compute on Ray: an address, auto, or local to start it here (extra ray).",
    ),
]


@dataclass(frozen=True)
class QueueAsked:
    """What was asked for of queues.

    Attributes
    ----------
    slurm : sequence of str, optional
        Settings of Slurm, KEY=VALUE; None if the work does not go there.
    ray : str, optional
        Where Ray is.
    share : str, optional
        K/N.
    job_script : int, optional
        Jobs of the array.
    """

    slurm: Sequence[str] | None = None
    ray: str | None = None
    share: str | None = None
    job_script: int | None = None

    @classmethod
    def of(
        cls,
        slurm: bool,
        settings: Sequence[str] | None,
        ray: str | None,
        share: str | None,
        job_script: int | None,
    ) -> QueueAsked:
        """Take the options of a command; raise what ends it if two of them exclude each other."""
        if sum((slurm or bool(settings), ray is not None, share is not None)) > 1:
            raise typer.BadParameter("give one of --slurm, --ray and --shard", param_hint="--slurm")
        return cls((settings or []) if slurm or settings else None, ray, share, job_script)

    @property
    def elsewhere(self) -> bool:
        """Whether this command waits for jobs that compute."""
        return self.slurm is not None or self.ray is not None


NO_QUEUE = QueueAsked()
