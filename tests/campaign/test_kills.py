"""Commands killed and given again, and stores under strain, in processes of their own."""

from __future__ import annotations

import signal

import pytest

from benchmarks.campaign import kills, stores
from benchmarks.campaign.kills import kill_once, undisturbed
from benchmarks.campaign.specimens import make_ground
from benchmarks.campaign.states import place_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign") / "ground"
    make_ground(folder)
    return folder


@pytest.fixture(scope="module")
def whole(ground, tmp_path_factory):
    return undisturbed(ground, tmp_path_factory.mktemp("whole") / "run", "run")


@pytest.mark.parametrize("sign", kills.SIGNALS)
def test_a_study_that_was_killed_goes_on_to_the_same_bits(sign, ground, whole, tmp_path):
    verdict = kill_once(place_for(ground, tmp_path / "a"), whole, sign, 0.3 * whole.seconds)
    assert verdict.held, verdict


def test_other_bits_would_be_noticed(ground, whole, tmp_path):
    place = place_for(ground, tmp_path / "a")
    (place / "long.toml").write_text((place / "long.toml").read_text().replace("epochs = 12", "epochs = 3"))
    assert not kill_once(place, whole, signal.SIGKILL, 0.1).held


def test_a_store_without_the_right_to_write_stays_as_it_is(ground, whole, tmp_path):
    verdict = stores.read_only(ground, tmp_path / "a", whole, 0)
    assert verdict.held, verdict


def test_two_processes_share_a_store(ground, whole, tmp_path):
    verdict = stores.crowd(ground, tmp_path / "a", whole, 0, 2)
    assert verdict.held, verdict


@pytest.mark.parametrize("strain", [stores.full_disk, stores.clock])
def test_a_study_under_strain_ends_with_the_same_bits(strain, ground, whole, tmp_path):
    verdict = strain(ground, tmp_path / "a", whole, 3)
    assert verdict.held, verdict
