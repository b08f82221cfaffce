r"""Tables in LaTeX, for papers: booktabs, numbers aligned at their decimal points.

Only the package ``booktabs`` is needed. A column of "a ± b", or of "a – b", becomes three columns of the
``tabular``, so that values, signs and uncertainties stand below each other; numbers with fewer decimals
than others of their column get room for the missing ones.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from rgbench.escapes import for_latex
from rgbench.numbers import NONE

_NUMBER = r"(?:[<>] ?)?[+−-]?\d+(?:\.\d+)?"
_JOINED = re.compile(rf"({_NUMBER})(?: (±|–) ({_NUMBER}))?")
_SINGLE = re.compile(rf"({_NUMBER})( %)?")
_BETWEEN = {"±": r"${}\pm{}$", "–": "~to~"}


def latex_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: Collection[int] = (),
    notes: Sequence[str] = (),
) -> str:
    r"""Write a table as a LaTeX ``tabular``.

    Parameters
    ----------
    columns : sequence of str
        Headings; the first column heads the rows.
    rows : sequence of sequence of str
        Cells as they are shown to people.
    words : collection of int
        Columns of words, which are aligned left, as the first one is.
    notes : sequence of str
        Footnotes: LaTeX, below the table.

    Examples
    --------
    >>> print(latex_table(["network", "MPCA %"], [["a", "77.9 ± 1.2"], ["b", "70.1"]]))
    \begin{tabular}{lr@{}c@{}r}
    \toprule
    network & \multicolumn{3}{c}{MPCA \%} \\
    \midrule
    a & 77.9 & ${}\pm{}$ & 1.2 \\
    b & 70.1 &  &  \\
    \bottomrule
    \end{tabular}
    """
    laid = [_lay(i, [row[i] for row in rows], i == 0 or i in words) for i in range(len(columns))]
    heads = (_heading(i, name, kind) for i, (name, (kind, _)) in enumerate(zip(columns, laid, strict=True)))
    head = " & ".join(heads)
    lines = [rf"\begin{{tabular}}{{{''.join(kind for kind, _ in laid)}}}", r"\toprule", rf"{head} \\"]
    lines += [r"\midrule", *(" & ".join(cells[j] for _, cells in laid) + r" \\" for j in range(len(rows)))]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes]) + "\n"


def _lay(number: int, cells: list[str], words: bool) -> tuple[str, list[str]]:
    """Choose how a column is aligned; give its kind for the preamble, and its cells."""
    known = [cell for cell in cells if cell not in ("", NONE)]
    joined = [match for cell in known if (match := _JOINED.fullmatch(cell))]
    if words:
        return "l", [_word(cell, number) for cell in cells]
    if len(joined) == len(known) and any(match[2] for match in joined):
        first, second = _Decimals(m[1] for m in joined), _Decimals(m[3] for m in joined)
        return "r@{}c@{}r", [_three(cell, first, second) for cell in cells]
    singles = [match for cell in known if (match := _SINGLE.fullmatch(cell))]
    if len(singles) == len(known):
        decimals = _Decimals(m[1] for m in singles)
        return "r", [_one(cell, decimals) for cell in cells]
    return "r", [for_latex(cell) for cell in cells]


class _Decimals:
    """The most decimals of a column's numbers, for which the others get room."""

    def __init__(self, numbers: Iterable[str | None]) -> None:
        self.most = max((len(number.partition(".")[2]) for number in numbers if number), default=0)

    def fill(self, number: str) -> str:
        """Write a number, with room for the decimals it lacks, and a minus where it has a hyphen."""
        point, decimals = number.partition(".")[1:]
        room = ("" if point else ".") + "0" * (self.most - len(decimals)) if len(decimals) < self.most else ""
        return for_latex(number.replace("-", "−")) + (rf"\phantom{{{room}}}" if room else "")


def _word(cell: str, number: int) -> str:
    # A row that begins with "[" would be read as the optional argument of the line break, or rule, before it.
    return ("{}" if number == 0 and cell.startswith(("[", "*")) else "") + for_latex(cell)


def _one(cell: str, decimals: _Decimals) -> str:
    match = _SINGLE.fullmatch(cell)
    return for_latex(cell) if match is None else decimals.fill(match[1]) + for_latex(match[2] or "")


def _three(cell: str, first: _Decimals, second: _Decimals) -> str:
    match = _JOINED.fullmatch(cell)
    if match is None:
        return _across(3, cell)
    return (
        f"{first.fill(match[1])} & {_BETWEEN.get(match[2], '')} & {second.fill(match[3]) if match[3] else ''}"
    )


def _heading(number: int, name: str, kind: str) -> str:
    width = len(kind.replace("@{}", ""))
    return _across(width, name) if width > 1 else _word(name, number)


def _across(width: int, content: str) -> str:
    return rf"\multicolumn{{{width}}}{{c}}{{{for_latex(content)}}}"
