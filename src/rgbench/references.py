"""Publications as data, and their BibTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """Where a network was published; `doi` and `arxiv` are empty if there is none."""

    citation: str
    doi: str = ""
    arxiv: str = ""


_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)\b")


_CITATION = re.compile(r"(?P<authors>\D+?) (?P<year>1[89]\d\d|20\d\d)(, (?P<place>.*))?$")


_ARTICLE = re.compile(r"(?P<journal>\D+) (?P<volume>\d+), (?P<pages>\d+)( \((?P<more>.*)\))?$")


@dataclass(frozen=True)
class Reference:
    """A publication: how it is named in a sentence, and where it is to be found.

    Attributes
    ----------
    citation : str
        "Authors year, journal volume, page", authors by family name.
    doi, arxiv : str
        Where known.
    title : str
        In BibTeX, capitals in braces; the cards of networks and data sets hold none.
    data : str
        DOI of the data that it describes.
    """

    citation: str
    doi: str = ""
    arxiv: str = ""
    title: str = ""
    data: str = ""

    @property
    def key(self) -> str:
        """Key of the BibTeX entry: first author and year.

        Examples
        --------
        >>> Reference("Ma et al. 2019, ApJS 240, 34").key
        'Ma2019'
        """
        author = re.sub(r"[^A-Za-z]", "", re.split(r"[ ,&]", self.citation, maxsplit=1)[0])
        year = _YEAR.search(self.citation)
        return f"{author}{year[1] if year else ''}"

    def bibtex(self, key: str = "") -> str:
        """Give the entry; what is no article in a journal has its place as a note.

        Examples
        --------
        >>> print(Reference("Ma et al. 2019, ApJS 240, 34", arxiv="1812.07190").bibtex())
        @article{Ma2019,
          author = {Ma and others},
          journal = {ApJS},
          volume = {240},
          pages = {34},
          year = {2019},
          eprint = {1812.07190},
          archivePrefix = {arXiv}
        }
        """
        fields = self._fields()
        kind = "article" if "journal" in fields else "misc"
        lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
        return f"@{kind}{{{key or self.key},\n" + ",\n".join(lines) + "\n}"

    def _fields(self) -> dict[str, str]:
        """Take the citation apart."""
        found = _CITATION.match(self.citation)
        people = {"author": _authors(found["authors"])} if found else {}
        place, _, more = (found["place"] or "" if found else self.citation).partition("; ")
        article = _ARTICLE.match(place)
        where = article.groupdict() if article else {}
        notes = [
            where.pop("more", "") if article else place,
            more,
            f"data: doi:{self.data}" if self.data else "",
        ]
        return {
            **people,
            "title": self.title,
            **where,
            "year": found["year"] if found else "",
            "doi": self.doi,
            "eprint": self.arxiv,
            "archivePrefix": "arXiv" if self.arxiv else "",
            "note": _escaped("; ".join(note for note in notes if note)),
        }


def _authors(names: str) -> str:
    """Give authors as BibTeX has them.

    Examples
    --------
    >>> _authors("Tang, Scaife & Leahy"), _authors("Lukic et al.")
    ('Tang and Scaife and Leahy', 'Lukic and others')
    """
    people = re.split(r", | & ", names.replace(" et al.", " & others"))
    return " and ".join(f"{{{name}}}" if " " in name else name for name in people)


def _escaped(text: str) -> str:
    return text.replace("&", r"\&").replace("_", r"\_").replace("%", r"\%")
