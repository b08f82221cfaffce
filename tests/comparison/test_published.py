"""Published numbers: every file is whole, mistakes name the key, verdicts follow from both uncertainties."""

from __future__ import annotations

import pytest

from rgbench.comparison.published import Number, Paper, judge, paper_names, read_paper, study_of
from rgbench.comparison.summary import compare
from rgbench.data.sets import data_names
from rgbench.errors import SpecError
from rgbench.networks import canonical_name
from rgbench.spec import resolve


@pytest.mark.parametrize("name", paper_names())
def test_every_paper_is_whole_and_its_study_can_be_run(name):
    paper = read_paper(name)
    study = study_of(paper)
    assert study.data.name in data_names()
    for network in study.networks:
        canonical_name(network)
    assert resolve(study, "")
    for number in paper.number:
        assert number.ours == "" or number.ours in study.networks
        assert 0.2 < number.value < 1, "a fraction"
        assert number.where


def test_the_best_published_cross_validation_is_there_and_no_number_of_2021():
    best = read_paper("rustige2023")
    assert {(n.metric, n.value, n.uncertainty, n.n_test) for n in best.number} >= {
        ("accuracy", 0.8135, 0.008, 400),
        ("macro_f1", 0.813, None, 400),
    }
    assert len(resolve(study_of(best), "")) == 10
    assert read_paper("becker2021").number == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("citation = 1", "key 'citation': .*string, found 1"),
        ('citation = "x"\n[study]\n[[number]]\nvalue = 81', "key 'number.0.network'"),
        ('citation = "x"\n[study]\nname = "s"', r"\[study\]: key 'networks' is missing"),
        ('citation = "x', "is not TOML"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path, text, message):
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        read_paper(path)
    assert "p.toml" in str(caught.value)
    with pytest.raises(SpecError, match="no paper 'nobody2020': give a TOML file, or one of becker2021"):
        read_paper("nobody2020")


def test_verdicts_follow_from_both_uncertainties(make_run):
    comparison = compare([make_run("mcrgnet", seed, 0.8) for seed in (1, 2, 3)])
    ours = comparison.rows[0].metrics["accuracy"].mean

    def verdict(value: float, **more):
        number = Number(
            network="theirs", ours="mcrgnet", metric="accuracy", value=value, where="table 1", **more
        )
        (found,) = judge(Paper(citation="x", study={}, number=(number,)), comparison)
        return found

    assert verdict(ours).agrees
    far = verdict(ours - 0.2)
    assert not far.agrees
    assert far.words.endswith("ours is better")
    assert "200 sources, 3 runs" in far.words
    assert verdict(ours - 0.2, uncertainty=0.15).agrees, "a paper that is not sure can be agreed with"
    assert not verdict(ours - 0.08, n_test=10_000).agrees
    assert verdict(ours - 0.08, n_test=60).agrees


def test_a_network_that_is_not_ours_is_held_against_all(make_run):
    comparison = compare([make_run(name, 1, 0.8) for name in ("mcrgnet", "convxpress")])
    number = Number(network="theirs", metric="mpca", value=0.8, where="x")
    found = judge(Paper(citation="x", study={}, number=(number,)), comparison)
    assert {each.network for each in found} == {"mcrgnet", "convxpress"}
