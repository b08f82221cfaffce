"""Downloads from bad servers: the published bytes or one clear error, never other bytes in the file's place."""

from __future__ import annotations

import pytest

from benchmarks.campaign import servers
from benchmarks.campaign.servers import judge_download
from benchmarks.campaign.trials import Verdict

THEN_GOOD = ("stall", "cut", "too long", "error", "busy", "odd range", "no answer", "other bytes")
NEVER_RIGHT = (
    "too short",
    "other bytes",
    "page",
    "file",
    "nowhere",
    "busy for ever",
    "changed",
    "no such range",
)


@pytest.mark.parametrize("way", THEN_GOOD)
def test_a_server_that_recovers_gives_the_file(way):
    expected = "refused" if way == "other bytes" else "fetched"
    assert judge_download([way, "good"]) == Verdict(True, expected)


@pytest.mark.parametrize("way", NEVER_RIGHT)
def test_a_server_that_lies_is_refused(way):
    assert judge_download([way]) == Verdict(True, "refused")


def test_a_cut_file_is_not_taken_for_whole_when_nothing_is_known_of_it():
    assert judge_download(["cut"], known=False) == Verdict(True, "refused")
    assert judge_download(["no length"], known=False) == Verdict(True, "refused")


def test_other_bytes_would_be_noticed(monkeypatch):
    monkeypatch.setattr(servers, "locate", _other_bytes)
    assert judge_download(["good"]).signature == "other bytes are taken for the file"


def _other_bytes(file, retry):
    from rgbench.data.public.fetch import cache_folder

    (cache_folder() / file.name).write_bytes(b"other")
    return cache_folder() / file.name
