"""Train, compare and apply image classifiers for radio-galaxy morphology.

The public names below are resolved when they are first used, so that ``import rgbench`` loads
neither torch nor anything else that is heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rgbench.apply import classify as classify
    from rgbench.comparison.summary import compare as compare
    from rgbench.data.sets import data_names as data_names
    from rgbench.data.sets import describe_data as describe_data
    from rgbench.data.sets import load_data as load_data
    from rgbench.data.split import becker2021_split as becker2021_split
    from rgbench.errors import RgbenchError as RgbenchError
    from rgbench.images.preprocess import preprocess as preprocess
    from rgbench.networks import describe_network as describe_network
    from rgbench.networks import network_names as network_names
    from rgbench.networks.build import build_network as build_network
    from rgbench.networks.keras import load_keras_weights as load_keras_weights
    from rgbench.report.html import write_report as write_report
    from rgbench.spec import Study as Study
    from rgbench.spec import read_study as read_study
    from rgbench.store import Store as Store
    from rgbench.study import run_study as run_study

_HOMES = {
    "RgbenchError": "rgbench.errors",
    "Store": "rgbench.store",
    "Study": "rgbench.spec",
    "becker2021_split": "rgbench.data.split",
    "build_network": "rgbench.networks.build",
    "classify": "rgbench.apply",
    "compare": "rgbench.comparison.summary",
    "data_names": "rgbench.data.sets",
    "describe_data": "rgbench.data.sets",
    "describe_network": "rgbench.networks",
    "load_data": "rgbench.data.sets",
    "load_keras_weights": "rgbench.networks.keras",
    "network_names": "rgbench.networks",
    "preprocess": "rgbench.images.preprocess",
    "read_study": "rgbench.spec",
    "run_study": "rgbench.study",
    "write_report": "rgbench.report.html",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rgbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
