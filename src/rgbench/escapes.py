"""Text that others wrote, in each format that the package writes: one function a format.

Names of sources, classes, networks, studies and files come with data, whoever made them. Whatever stands in them,
they must come out as text: no colour of a terminal, no markup, no formula, no script, no path.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""What a cell begins with that a spreadsheet may take for a formula; the wide signs, in Japanese ones."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NO_FILE = set('<>:"/\\|?*%')
"""What the name of a file may not hold on some system, and the sign that stands for it."""
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""Names that Windows keeps for its devices, with any ending."""
_LONGEST = 180
"""Bytes of a file's name: file systems take 255, of which an ending and a hidden prefix need some."""
FITS_NAME = 60
"""Characters of the name of a column in FITS: a card takes 68."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    # Not \{ and \}: BibTeX counts them as braces, whatever stands before them.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "−": "$-$",
    "…": r"\ldots{}",
}


def visible(text: str, keep: str = "") -> str:
    r"""Write what cannot be seen as Python does: control characters, marks of direction or of no width, odd spaces.

    So the text colours no terminal, turns no line around, and two names that differ look different. All that
    `str.isprintable` allows stays, backslashes too.

    Parameters
    ----------
    text : str
        Any text, with lone surrogates too, which stand for bytes of a file's name that are not UTF-8.
    keep : str
        Characters that stay all the same, such as a line break.

    Examples
    --------
    >>> print(visible("3C 31\x1b[31m\n\u202e[b]"))
    3C 31\x1b[31m\n\u202e[b]
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def utf8(text: str) -> str:
    r"""Write lone surrogates, which stand for bytes of a file's name that are not UTF-8, as Python does.

    Only text without them can be stored, or written in UTF-8.

    Examples
    --------
    >>> print(utf8("caf\udce9"), utf8("café"))
    caf\udce9 café
    """
    return text.encode("utf8", "backslashreplace").decode("utf8")


def for_xml(text: str) -> str:
    r"""Escape text for SVG and HTML, between tags and in quoted attributes.

    Examples
    --------
    >>> print(for_xml("<b>\x00"))
    &lt;b&gt;\x00
    """
    return html.escape(visible(text, "\n\t"))


def for_latex(text: str) -> str:
    r"""Escape text for LaTeX and for a field of BibTeX.

    Two hyphens stay two hyphens; what is not printable is written as `visible` does.

    Examples
    --------
    >>> print(for_latex("50 %_$ −1, a--b"))
    50 \%\_\$ $-$1, a-{}-b
    """
    apart = re.sub(r"-(?=-)", "-\x00", visible(text))
    return "".join("{}" if c == "\x00" else _LATEX.get(c, c) for c in apart)


def for_ascii(text: str) -> str:
    r"""Write what is not printable ASCII as Python does, for tables in FITS.

    Examples
    --------
    >>> print(for_ascii("β Cas"))
    \u03b2 Cas
    """
    return visible(text).encode("ascii", "backslashreplace").decode("ascii")


def fits_name(name: str) -> str:
    r"""Give the name of a column in FITS: one card, without an apostrophe, at which some readers end it.

    Examples
    --------
    >>> print(fits_name("p_O'Brien"), len(fits_name("x" * 200)))
    p_O\x27Brien 60
    """
    plain = for_ascii(name).replace("'", r"\x27")
    if len(plain) <= FITS_NAME:
        return plain
    return f"{plain[: FITS_NAME - 13]}%{hashlib.sha256(plain.encode()).hexdigest()[:12]}"


def for_csv(text: str) -> str:
    r"""Put an apostrophe before text that a spreadsheet would take for a formula; `from_csv` takes it away.

    Numbers that are written as text stay as they are. Text that begins with apostrophes before such a sign gets one
    more, so that the way back is never in doubt. Lone surrogates, which UTF-8 cannot hold, are written as `utf8` does.

    Examples
    --------
    >>> for_csv("=cmd()"), for_csv("-12.5"), for_csv("J1204-0012"), for_csv("'=a")
    ("'=cmd()", '-12.5', 'J1204-0012', "''=a")
    """
    plain = utf8(text)
    return f"'{plain}" if _FORMULA.match(plain) and not _NUMBER.fullmatch(plain) else plain


def from_csv(text: str) -> str:
    """Take away the apostrophe that `for_csv` puts before a cell.

    Examples
    --------
    >>> from_csv("'=cmd()"), from_csv("''=a"), from_csv("'tis"), from_csv("-12.5")
    ('=cmd()', "'=a", "'tis", '-12.5')
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    r"""Write rows as CSV, the head first; None is an empty cell, texts are guarded by `for_csv`, numbers never.

    Examples
    --------
    >>> csv_text([["source", "p"], ["=cmd()", -0.5], ["-12.5", None], ["a\rb", 1]])
    'source,p\n\'=cmd(),-0.5\n-12.5,\n"a\rb",1\n'
    """
    out = io.StringIO()
    # Not "\n", with which some versions of Python leave a carriage return within a cell without quotes.
    writer = csv.writer(out, lineterminator="\r\n")
    lines = []
    for row in rows:
        writer.writerow(for_csv(cell) if isinstance(cell, str) else cell for cell in row)
        lines.append(out.getvalue().removesuffix("\r\n"))
        out.seek(0)
        out.truncate()
    return "".join(f"{line}\n" for line in lines)


def for_file_name(name: str) -> str:
    """Give a name that a file can have on every system; different names give different ones.

    Slashes and other signs that some system refuses are written as a URL has them ("%2F"), so are a dot or a hyphen
    at the beginning, a dot or a space at the end, and the first letter of a device of Windows. A long name is cut, and
    a part of its SHA-256 put behind it.

    Parameters
    ----------
    name : str
        Without its ending.

    Examples
    --------
    >>> for_file_name("a[/b] 1"), for_file_name(".."), for_file_name("nul"), for_file_name("β Cas")
    ('a[%2Fb] 1', '%2E%2E', '%6Eul', 'β Cas')
    """
    last = len(name) - 1
    safe = "".join(
        _percent(c)
        if c in _NO_FILE or not c.isprintable() or (i == 0 and c in ".- ") or (i == last and c in ". ")
        else c
        for i, c in enumerate(name)
    )
    if _RESERVED.fullmatch(safe):
        safe = _percent(safe[0]) + safe[1:]
    if len(safe.encode()) <= _LONGEST:
        return safe or "%"
    digest = hashlib.sha256(name.encode("utf8", "surrogatepass")).hexdigest()[:12]
    return f"{safe.encode()[: _LONGEST - 13].decode('utf8', 'ignore')}%{digest}"


def _escape(c: str) -> str:
    return repr(c)[1:-1]


def _percent(c: str) -> str:
    return "".join(f"%{byte:02X}" for byte in c.encode("utf8", "surrogatepass"))
