"""A survey by another engine gives the same classes, and is not mixed with the work of PyTorch."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from rgbench.errors import SpecError
from rgbench.runs.classifier import load_classifier
from rgbench.runs.engines import lacking
from rgbench.survey.outputs import classify_survey
from rgbench.survey.survey import SurveyChoice


@pytest.mark.slow
@pytest.mark.skipif(bool(lacking("onnx")), reason="needs the extra onnx: pip install 'rgbench[onnx]'")
def test_a_survey_by_another_engine(sky):
    catalogue, choice = sky.table("sources.fits"), SurveyChoice(views=1)
    plain = load_classifier()
    other = plain.with_engine("onnx")
    tables = {}
    for name, classifier, jobs in (("torch", plain, 1), ("onnx", other, 1), ("apart", other, 2)):
        work = classify_survey(catalogue, [sky.mosaic], sky.folder / name, classifier, choice, jobs)
        assert work.job.engine == classifier.engine
        tables[name] = pq.read_table(sky.folder / name / "classes")
    assert tables["onnx"].equals(tables["apart"])  # processes have one thread each, as one alone has
    assert tables["onnx"]["rg_class"].equals(tables["torch"]["rg_class"])
    for name in plain.classes:
        found, expected = (tables[each][f"rg_p_{name}"].to_numpy() for each in ("onnx", "torch"))
        np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(SpecError, match="holds the work of another survey"):
        classify_survey(catalogue, [sky.mosaic], sky.folder / "torch", other, choice, 1)
