"""How things show themselves in a notebook: short HTML tables; and tables as pandas and astropy have them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from rgbench.escapes import for_xml
from rgbench.extras import extra
from rgbench.numbers import counted

MOST = 20
"""Rows that are shown at most: those at the beginning and at the end of a longer table."""
LONGEST = 400
"""Characters of a cell that are shown at most."""
UNITS = MappingProxyType({"ra": "deg", "dec": "deg"})
"""Units of columns, by name."""
_STYLE = ' style="text-align: left; vertical-align: top; padding: 0.15em 0.8em"'


class Tabular(ABC):
    """Something that is a table, and can be had as one of pandas or astropy."""

    @abstractmethod
    def table(self) -> Mapping[str, NDArray[Any]]:
        """Give the columns by name, each of shape (n,), unrounded."""

    def to_pandas(self) -> Any:
        """Give the table as a `pandas.DataFrame`.

        Raises
        ------
        SpecError
            If pandas is not installed; the message names the extra that brings it.
        """
        return extra("pandas", "to_pandas", "pandas").DataFrame(dict(self.table()))

    def to_astropy(self) -> Any:
        """Give the table as an `astropy.table.Table`; right ascension and declination have their unit, degrees."""
        # Imported here, and not with every run that is read.
        made = import_module("astropy.table").Table(dict(self.table()))
        for name in UNITS.keys() & set(made.colnames):
            made[name].unit = UNITS[name]
        return made


def ends(n: int) -> list[int]:
    """Give the rows of a table that are shown: all, or the first and the last of many.

    Examples
    --------
    >>> ends(3), len(ends(1000)), ends(1000)[9:11]
    ([0, 1, 2], 20, [9, 990])
    """
    return list(range(n)) if n <= MOST else [*range(MOST // 2), *range(n - MOST // 2, n)]


def html_table(title: str, rows: Sequence[Mapping[str, str]], words: Sequence[str] = (), n: int = 0) -> str:
    """Write a short table as HTML, without a colour of its own: it can be read on a light page and on a dark one.

    Parameters
    ----------
    title : str
        What stands above it.
    rows : sequence of dict of str to str
        Texts by the heading of their column, each row with the same headings; a column without any text is left out.
    words : sequence of str
        Sentences below it.
    n : int
        How many rows there are, if `rows` are only those of `ends`.

    Returns
    -------
    str
        HTML. All text is escaped.

    Examples
    --------
    >>> html_table("Two", [{"name": "<a>"}, {"name": "b"}]).count("&lt;a&gt;")
    1
    """
    headings = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    lines = [_line("td", [row[name] for name in headings]) for row in rows]
    if n > len(rows):
        lines.insert(len(rows) // 2, _line("td", ["..." for _ in headings]))
        words = [f"{counted(n - len(rows), 'row')} in the middle left out.", *words]
    below = "".join(f"<p>{for_xml(line)}</p>" for line in words)
    head = f"<thead>{_line('th', headings)}</thead>" if any(name.strip() for name in headings) else ""
    # Of itself a table has the colour of its page in some browsers, and not that of what it stands in.
    table = f'<table style="color: inherit">{head}<tbody>{"".join(lines)}</tbody></table>'
    return f"<div><strong>{for_xml(title)}</strong>{table}{below}</div>"


def html_facts(title: str, facts: Mapping[str, str]) -> str:
    """Write facts as an HTML table of two columns; those that are not known, "", are left out.

    Examples
    --------
    >>> html_facts("A network", {"paper": "Ma 2019", "notes": ""}).count("<tr>")
    1
    """
    return html_table(title, [{"": name, " ": text} for name, text in facts.items() if text])


def _line(tag: str, texts: Iterable[str]) -> str:
    cells = (text if len(text) <= LONGEST else f"{text[:LONGEST]} ..." for text in texts)
    return f"<tr>{''.join(f'<{tag}{_STYLE}>{for_xml(text)}</{tag}>' for text in cells)}</tr>"
