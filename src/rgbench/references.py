"""Publications: their BibTeX is data, in ``references.bib``; cards and sections of the report name its keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from urllib.parse import quote

from rgbench.escapes import for_latex

STUDY = "Becker2021"
"""Key of the study whose networks and protocol are reproduced; it is always cited."""
_ADDRESS = "/:;()._-<>"
"""What DOIs hold beside letters and digits; anything else would mean something to BibTeX."""


@dataclass(frozen=True)
class Paper:
    """Where a network was published; what is not known is empty.

    Attributes
    ----------
    citation : str
        "Authors year, journal volume, page", authors by family name, as sentences have it.
    doi, arxiv : str
        Where to find it.
    key : str
        Of its entry in ``references.bib``.
    """

    citation: str
    doi: str = ""
    arxiv: str = ""
    key: str = ""


@cache
def library() -> Mapping[str, str]:
    """Give the BibTeX entries that ship, by key.

    Entries of the file are parted by empty lines, and hold none.

    Examples
    --------
    >>> print(library()["Ma2019"].splitlines()[0])
    @article{Ma2019,
    """
    text = (files("rgbench") / "references.bib").read_text(encoding="utf8")
    entries = (part.strip() for part in text.split("\n\n"))
    return MappingProxyType({entry.partition("{")[2].partition(",")[0]: entry for entry in entries if entry})


def entry(name: str, paper: Paper) -> str:
    r"""Give the BibTeX entry of a paper: of its key, or, without one, its citation as a note under a name.

    Examples
    --------
    >>> print(entry("my-net", Paper("Nobody & Friend, in preparation", arxiv="2101.00001")))
    @misc{my-net,
      note = {Nobody \& Friend, in preparation},
      eprint = {2101.00001},
      archivePrefix = {arXiv}
    }
    """
    if paper.key:
        return library()[paper.key]
    fields = {
        "note": for_latex(paper.citation),
        "doi": quote(paper.doi, safe=_ADDRESS),
        "eprint": quote(paper.arxiv, safe=_ADDRESS),
        "archivePrefix": "arXiv" if paper.arxiv else "",
    }
    lines = [f"  {key} = {{{value}}}" for key, value in fields.items() if value]
    key = re.sub(r"[^A-Za-z0-9:._+/-]", "-", name)
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}"


def bibliography(entries: Iterable[str]) -> str:
    """Join entries to a BibTeX file, the study's first and each once.

    Parameters
    ----------
    entries : iterable of str
        Keys of ``references.bib``, or whole entries, which begin with "@".

    Raises
    ------
    KeyError
        If a key is not in the file.

    Examples
    --------
    >>> bibliography(["Holm1979", "Becker2021", "Holm1979"]).count("@article")
    2
    """
    texts = [each if each.startswith("@") else library()[each] for each in (STUDY, *entries)]
    return "\n\n".join(dict.fromkeys(texts)) + "\n"
