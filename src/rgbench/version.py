"""The version of this package, wherever its code lies: in a clone, or installed from a wheel."""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_COMMIT = re.compile(r"[0-9a-f]{40}")
_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)


@cache
def version() -> str:
    """Give the version: that of ``pyproject.toml`` in a clone, else that of the installed package.

    What an installed package says of itself may be older than the clone that it is linked to.

    Examples
    --------
    >>> version().count(".")
    2
    """
    root = clone()
    found = _VERSION.search((root / "pyproject.toml").read_text(encoding="utf8")) if root else None
    return found[1] if found else metadata.version("rgbench")


def clone(package: Path = _HERE) -> Path | None:
    """Give the folder of the clone, or of the unpacked source distribution, that the code runs from; None if installed.

    Parameters
    ----------
    package : path
        Folder of the package.
    """
    root = package.parents[1]
    project = root / "pyproject.toml"
    if package.parent.name != "src" or not project.is_file():
        return None
    return root if '\nname = "rgbench"\n' in project.read_text(encoding="utf8") else None


def commit(root: Path) -> str:
    """Give the commit that a clone stands on; "" where git's files do not tell it.

    Git itself is not asked: it would obey what the configuration of the folder says.

    Parameters
    ----------
    root : path
        Folder of the clone, which may be a further working tree of it.
    """
    try:
        git = root / ".git"
        if git.is_file():  # a further working tree: "gitdir: PATH"
            git = root / git.read_text(encoding="utf8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf8").strip()
        shared = git / "commondir"
        store = git / shared.read_text(encoding="utf8").strip() if shared.is_file() else git
        return _resolved(head, (git, store))
    except OSError:
        return ""


def _resolved(head: str, folders: tuple[Path, ...]) -> str:
    """Give the commit of ``HEAD``, which is one or names a branch; "" if there is none."""
    name = head.removeprefix("ref:").strip()
    if name == head:
        return head if _COMMIT.fullmatch(head) else ""
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf8").strip()
        packed = folder / "packed-refs"
        lines = packed.read_text(encoding="utf8").splitlines() if packed.is_file() else []
        for line in lines:
            if line.endswith(f" {name}"):
                return line.split()[0]
    return ""
