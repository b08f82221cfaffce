"""A job script, for queues that know arrays."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def job_script(arguments: Sequence[str], shares: int, cores: int = 1, gpus: int = 0) -> str:
    """Write a job script for queues that know arrays: Slurm, PBS, SGE, LSF.

    Parameters
    ----------
    arguments : sequence of str
        Those of the command, without ``rgbench`` and ``--shard``.
    shares : int
        Jobs of the array.
    cores, gpus : int
        Of each job.

    Examples
    --------
    >>> print(job_script(["survey", "my sources.fits", "--images", "m", "--out", "o"], 20).splitlines()[-1])
    rgbench survey 'my sources.fits' --images m --out o --jobs 1 --shard "$K/20"
    >>> job_script(["run", "s.toml"], 3, cores=4, gpus=1).splitlines()[1]
    '#SBATCH --job-name=rgbench --array=1-3 --cpus-per-task=4 --mem=4G --gres=gpu:1'
    """
    command = shlex.join(["rgbench", *arguments])
    slurm, pbs = (f" --gres=gpu:{gpus}", f":ngpus={gpus}") if gpus else ("", "")
    return f"""#!/bin/bash
#SBATCH --job-name=rgbench --array=1-{shares} --cpus-per-task={cores} --mem=4G{slurm}
#PBS -N rgbench -J 1-{shares} -l select=1:ncpus={cores}:mem=4gb{pbs}
# One job of the array computes one of {shares} shares. When all have ended, this command writes the result:
#   {command}
# For a queue of another kind, set K to the number of the job, from 1.
K=${{SLURM_ARRAY_TASK_ID:-${{PBS_ARRAY_INDEX:-${{LSB_JOBINDEX:-$SGE_TASK_ID}}}}}}
cd "${{SLURM_SUBMIT_DIR:-${{PBS_O_WORKDIR:-.}}}}"
{command} --jobs 1 --shard "$K/{shares}"
"""
