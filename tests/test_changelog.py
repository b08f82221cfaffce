"""News of the next release: one file each, with a legal name and plain text."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOWNCRIER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["tool"]["towncrier"]
FOLDER = ROOT / TOWNCRIER["directory"]
KINDS = [kind["directory"] for kind in TOWNCRIER["type"]]
NAME = re.compile(rf"(\+[A-Za-z0-9-]+|[0-9]+)\.({'|'.join(KINDS)})\.md")
FRAGMENTS = [path for path in FOLDER.iterdir() if path.name not in TOWNCRIER["ignore"]]


def fault(name: str, text: str) -> str:
    """Say what is wrong with a file of news; "" if nothing is."""
    if not NAME.fullmatch(name):
        return f"changelog.d/{name}: the name is not +NAME.KIND.md or ISSUE.KIND.md; KINDs are {', '.join(KINDS)}"
    if not text.strip():
        return f"changelog.d/{name}: is empty; one or two sentences are needed"
    if text.lstrip().startswith(("-", "*", "#")):
        return f"changelog.d/{name}: begins with a bullet or a heading, which the release adds by itself"
    return ""


def test_each_file_has_a_legal_name_and_text():
    found = [fault(path.name, path.read_text(encoding="utf8")) for path in FRAGMENTS]
    assert [each for each in found if each] == []


@pytest.mark.parametrize(
    "name", ["spread.added.md", "+spread.new.md", "+spread.added", "+a b.fixed.md", "12.md"]
)
def test_other_names_are_refused(name):
    assert "KIND" in fault(name, "Text.")


@pytest.mark.parametrize("text", ["", " \n", "- A bullet.", "# Heading"])
def test_other_texts_are_refused(text):
    assert fault("+spread.added.md", text).startswith("changelog.d/+spread.added.md: ")


def test_legal_names():
    assert fault("+spread.added.md", "Text.") == fault("12.fixed.md", "Text.") == ""


def test_the_changelog_says_where_news_go_and_the_guide_lists_every_kind():
    assert TOWNCRIER["start_string"] in (ROOT / TOWNCRIER["filename"]).read_text(encoding="utf8")
    guide = (FOLDER / "README.md").read_text(encoding="utf8")
    assert re.findall(r"^- `(\w+)`", guide, flags=re.MULTILINE) == KINDS
