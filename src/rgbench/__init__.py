"""Train, compare and apply image classifiers for radio-galaxy morphology.

The public names below are resolved when they are first used, so that ``import rgbench`` loads
neither torch nor anything else that is heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rgbench.comparison.summary import compare as compare
    from rgbench.data.own.check import check_folder as check_folder
    from rgbench.data.own.folder import load_folder as load_folder
    from rgbench.data.sets import data_names as data_names
    from rgbench.data.sets import describe_data as describe_data
    from rgbench.data.sets import load_data as load_data
    from rgbench.data.split import becker2021_split as becker2021_split
    from rgbench.data.split import published_split as published_split
    from rgbench.errors import RgbenchError as RgbenchError
    from rgbench.extensions import register as register
    from rgbench.finetuning.finetune import finetune as finetune
    from rgbench.finetuning.spec import FinetuneSpec as FinetuneSpec
    from rgbench.images.preprocess import preprocess as preprocess
    from rgbench.measures.cards import metric as metric
    from rgbench.measures.catalogue import measure as measure
    from rgbench.networks import describe_network as describe_network
    from rgbench.networks import network_names as network_names
    from rgbench.networks.keras.weights import load_keras_weights as load_keras_weights
    from rgbench.networks.modules.build import build_network as build_network
    from rgbench.report.of_store import ReportSpec as ReportSpec
    from rgbench.report.of_store import write_report as write_report
    from rgbench.report.sources_page import write_sources_page as write_sources_page
    from rgbench.runs.classifier import load_classifier as load_classifier
    from rgbench.runs.classify import classify as classify
    from rgbench.runs.classify import classify_files as classify_files
    from rgbench.runs.cost import CostSpec as CostSpec
    from rgbench.runs.cost import cost as cost
    from rgbench.runs.positions import classify_positions as classify_positions
    from rgbench.runs.reopen import StoredRun as StoredRun
    from rgbench.runs.score import ScoreSpec as ScoreSpec
    from rgbench.runs.score import Stated as Stated
    from rgbench.runs.score import score as score
    from rgbench.runs.study import run_study as run_study
    from rgbench.spec import Study as Study
    from rgbench.spec import read_study as read_study
    from rgbench.store.store import Store as Store
    from rgbench.survey.find import FindChoice as FindChoice
    from rgbench.survey.find import find_sources as find_sources
    from rgbench.survey.outputs import classify_survey as classify_survey
    from rgbench.survey.survey import SurveyChoice as SurveyChoice

    __version__: str

_HOMES = {
    "CostSpec": "rgbench.runs.cost",
    "FindChoice": "rgbench.survey.find",
    "FinetuneSpec": "rgbench.finetuning.spec",
    "ReportSpec": "rgbench.report.of_store",
    "RgbenchError": "rgbench.errors",
    "ScoreSpec": "rgbench.runs.score",
    "Stated": "rgbench.runs.score",
    "Store": "rgbench.store.store",
    "StoredRun": "rgbench.runs.reopen",
    "Study": "rgbench.spec",
    "SurveyChoice": "rgbench.survey.survey",
    "becker2021_split": "rgbench.data.split",
    "build_network": "rgbench.networks.modules.build",
    "check_folder": "rgbench.data.own.check",
    "classify": "rgbench.runs.classify",
    "classify_files": "rgbench.runs.classify",
    "classify_positions": "rgbench.runs.positions",
    "classify_survey": "rgbench.survey.outputs",
    "compare": "rgbench.comparison.summary",
    "cost": "rgbench.runs.cost",
    "data_names": "rgbench.data.sets",
    "describe_data": "rgbench.data.sets",
    "describe_network": "rgbench.networks",
    "find_sources": "rgbench.survey.find",
    "finetune": "rgbench.finetuning.finetune",
    "load_classifier": "rgbench.runs.classifier",
    "load_data": "rgbench.data.sets",
    "load_folder": "rgbench.data.own.folder",
    "load_keras_weights": "rgbench.networks.keras.weights",
    "measure": "rgbench.measures.catalogue",
    "metric": "rgbench.measures.cards",
    "network_names": "rgbench.networks",
    "preprocess": "rgbench.images.preprocess",
    "published_split": "rgbench.data.split",
    "read_study": "rgbench.spec",
    "register": "rgbench.extensions",
    "run_study": "rgbench.runs.study",
    "score": "rgbench.runs.score",
    "write_report": "rgbench.report.of_store",
    "write_sources_page": "rgbench.report.sources_page",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("rgbench.version").version()
    if name not in _HOMES:
        raise AttributeError(f"module 'rgbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
