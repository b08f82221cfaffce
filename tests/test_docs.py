"""The documents point at what is there: files, modules, names, and every room of the house."""

from __future__ import annotations

import ast
import configparser
import importlib
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

import rgbench
from rgbench.data.own.labels import CLASS_WORDS
from rgbench.data.own.sources import ALIASES, LESS_USUAL
from rgbench.extensions import ENTRY_POINTS
from rgbench.images.domain import Oddity, words
from rgbench.runs.classify import Classified
from rgbench.spec import AugmentationSpec, DataSpec, ImageSpec, RecipeSpec, Study, resolve

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
PACKAGE = ROOT / "src" / "rgbench"
ROOMS = sorted(
    p.stem for p in PACKAGE.iterdir() if (p.is_dir() and (p / "__init__.py").exists()) or p.suffix == ".py"
)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_links_lead_to_files(path):
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf8"))
    lost = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert lost == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_paths_and_names_exist(path):
    text = path.read_text(encoding="utf8")
    paths = re.findall(r"`((?:src|tests|docs|benchmarks|studies|examples|papers)/[\w./-]+)`", text)
    assert [name for name in paths if not (ROOT / name).exists()] == []
    names = set(re.findall(r"`(rgbench(?:\.\w+)+)(?:\([^`]*\))?`", text)) - set(ENTRY_POINTS.values())
    assert [name for name in names if not _resolves(name)] == []


def _resolves(name: str) -> bool:
    if name.count(".") == 1 and (PACKAGE / name.partition(".")[2]).exists():
        return True
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_every_room_has_a_line_on_the_map():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf8")
    described = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert sorted(described) == [room for room in ROOMS if not room.startswith("__")]


def test_the_map_has_the_floors_of_the_import_contract():
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    layers = contract["importlinter:contract:layers"]["layers"].split("\n")
    floors = [sorted(re.split(r"[|:]", line.replace(" ", ""))) for line in layers if line.strip()]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf8")
    drawn = re.search(r"<!-- floors -->\n```\n(.*?)```", text, flags=re.DOTALL)
    assert drawn is not None, (
        "docs/architecture.md draws the floors between <!-- floors --> and the next fence"
    )
    lines = [line.split("  ")[0] for line in drawn.group(1).splitlines() if line.strip()]
    assert [sorted(re.split(r"[|:]", line.replace(" ", ""))) for line in lines] == floors


def test_every_key_of_a_study_is_explained():
    text = (ROOT / "docs" / "study-keys.md").read_text(encoding="utf8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    models = (Study, DataSpec, ImageSpec, AugmentationSpec, RecipeSpec)
    tables = {"images", "augmentation", "recipe", "data"}  # which have a part of their own
    for part, model in zip(parts, models, strict=True):
        heads = re.findall(r"^\| (`[^|]*) \|", part, flags=re.MULTILINE)
        explained = [key for head in heads for key in re.findall(r"`(\w+)`", head)]
        keys = set(model.model_fields) - (tables if model is Study else set())
        assert sorted(explained) == sorted(keys), part.splitlines()[0]


def test_the_values_of_modern_are_those_of_the_protocol():
    text = (ROOT / "docs" / "study-keys.md").read_text(encoding="utf8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[3:]
    (run,) = resolve(Study(name="s", networks=("x",), seeds=(1,)), "")
    for part, spec in zip(parts, (run.images, run.augmentation, run.recipe), strict=True):
        for row in re.findall(r"^\| (`.*) \|$", part, flags=re.MULTILINE):
            keys, shown = re.findall(r"`(\w+)`", row.split(" | ")[0]), row.split(" | ")[-1].split(", ")
            values = [json.loads(cell) if "`" not in cell else cell.strip("`") for cell in shown]
            own = [getattr(spec, key) for key in keys]
            assert [str(v).lower() for v in own] == [str(v).lower() for v in values] or own == values, keys


def test_every_usual_word_of_a_table_is_listed():
    text = (ROOT / "docs" / "own-data.md").read_text(encoding="utf8")
    rows = dict(
        re.findall(
            r"^\| `?(\w+)`? \| (.*) \|$", text.split("## Which words are understood?")[1], re.MULTILINE
        )
    )
    for key, aliases in ALIASES.items():
        usual = [*aliases, *(LESS_USUAL if key == "name" else ())]
        assert re.findall(r"`([^`]+)`", rows[key]) == usual
    assert {name: tuple(re.findall(r"`([^`]+)`", rows[name])) for name in CLASS_WORDS} == CLASS_WORDS


def test_every_flag_and_column_of_predict_is_explained():
    text = (ROOT / "docs" / "predict.md").read_text(encoding="utf8")
    _, columns, flags = re.split(r"^\| column \||^\| flag \|", text, flags=re.MULTILINE)
    explained = re.findall(r"^\| `([\w-]+)` \|", flags, flags=re.MULTILINE)
    assert sorted(explained) == sorted(words(flag) for flag in Oddity)
    heads = re.findall(r"^\| (`[^|]*`(?:, \.\.\.)?) \|", columns, flags=re.MULTILINE)
    told = [name for head in heads for name in re.findall(r"`(\w+)`", head)]
    empty = np.zeros((0, 2))
    assert told == list(Classified([], ("Compact", "FRI"), empty, []).columns())


def test_every_page_is_on_the_site():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf8")
    trees = re.findall(r"```\{toctree\}\n(.*?)```", index, flags=re.DOTALL)
    listed = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    pages = [path.stem for path in ROOT.glob("docs/*.md") if path.stem != "index"]
    assert sorted(name for name in listed if "/" not in name) == sorted(pages)


def test_every_example_has_its_place():
    conf = (ROOT / "docs" / "conf.py").read_text(encoding="utf8")
    order = re.search(r"^EXAMPLES = (\[.*?\])$", conf, flags=re.MULTILINE | re.DOTALL)
    assert order is not None
    left = re.search(r'^ +"ignore_pattern": r"(\w+)",$', conf, flags=re.MULTILINE)
    assert left is not None
    shown = [*ast.literal_eval(order[1]), left[1]]
    assert sorted(shown) == sorted(path.stem for path in ROOT.glob("examples/*.py"))


def runnable(text: str) -> list[str]:
    """Give the blocks of Python below the comment that marks them."""
    return re.findall(r"^<!-- runnable -->\n```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


MARKED = [path for path in DOCUMENTS if runnable(path.read_text(encoding="utf8"))]


def test_there_are_blocks_that_run():
    assert {path.name for path in MARKED} >= {"extending.md", "networks.md", "own-data.md", "predict.md"}


@pytest.mark.parametrize("path", MARKED, ids=ids)
def test_marked_blocks_run_in_their_order(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in runnable(path.read_text(encoding="utf8")):
        exec(compile(block, str(path), "exec"), names)


@pytest.mark.parametrize("name", rgbench.__all__)
def test_public_names_say_all_that_they_take_and_give(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    public = getattr(rgbench, name)
    found = validate(f"{public.__module__}.{public.__qualname__}")
    wrong = {code: said for code, said in found["errors"] if code[:2] in ("GL", "PR", "RT", "SS")}
    if inspect.isclass(public) and _parameters(public) <= _attributes(public):
        wrong.pop("PR01", None)  # the attributes of a dataclass are what it takes
    assert wrong == {}


def _parameters(public: type) -> set[str]:
    return set(inspect.signature(public).parameters)


def _attributes(public: type) -> set[str]:
    text = inspect.getdoc(public) or ""
    part = re.search(r"^Attributes\n-+\n(.*?)(?:^\w+\n-+\n|\Z)", text, flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^(\w[\w, ]*) : ", part[1], flags=re.MULTILINE) if part else []
    return {each for head in heads for each in head.split(", ")}
