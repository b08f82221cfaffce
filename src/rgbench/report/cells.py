"""Cells of the report's tables: what is shown, and the unrounded value in the scale that it is shown in."""

from __future__ import annotations

from dataclasses import dataclass, field

from rgbench.errors import SpecError
from rgbench.numbers import NONE, PERCENT, PLAIN, Scale, is_number, p_value, percent, probability

Value = float | int | str | None
_ADDRESSES = ("https://", "http://")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, and the unrounded values that sort and are downloaded.

    Attributes
    ----------
    text : str
        What is shown.
    value : float, int or str, optional
        What sorts and is downloaded; of an interval its lower end. Left out, the text.
    high : float, optional
        Upper end of an interval.
    spread : float, optional
        What stands behind "±".
    link : str
        Address that the text leads to when a reader follows it: http or https only.
    scale : Scale
        In which the numbers are shown, and downloaded: fractions in percent, or as they are.
    beneath : str
        What stands under the text in small letters, such as an interval.

    Raises
    ------
    SpecError
        If the address is another one, such as a script.
    """

    text: str
    value: Value = None
    high: float | None = None
    spread: float | None = None
    link: str = ""
    scale: Scale = field(default=PLAIN, kw_only=True)
    beneath: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.link and not self.link.startswith(_ADDRESSES):
            raise SpecError(f"link: found {self.link!r}; legal are addresses of https and http")

    @property
    def data(self) -> Value:
        """The value, or the text where there is none; None where there is nothing."""
        if self.value is not None:
            return scaled(self.value, self.scale)
        return None if self.text in ("", NONE) else self.text


NO_CELL = Cell(NONE)
"""The cell of nothing."""


def number(value: float | None, scale: Scale = PLAIN) -> Cell:
    """Make the cell of a number.

    Examples
    --------
    >>> number(0.7792, PERCENT).text, number(float("nan")).text
    ('77.9', '–')
    """
    return Cell(scale.show(value), _known(value), scale=scale)


def difference(value: float | None, scale: Scale = PERCENT) -> Cell:
    """Make the cell of a difference, written with its sign.

    Examples
    --------
    >>> difference(-0.02).text
    '−2.0'
    """
    return Cell(scale.signed(value), _known(value), scale=scale)


def span(low: float | None, high: float | None, scale: Scale = PERCENT, signed: bool = False) -> Cell:
    """Make the cell of an interval; a dash where there is none.

    Examples
    --------
    >>> span(0.701, 0.802).text, span(-0.01, 0.02, signed=True).text, span(float("nan"), float("nan")).text
    ('70.1 – 80.2', '−1.0 – +2.0', '–')
    """
    if not (is_number(low) and is_number(high)):
        return Cell(NONE)
    show = scale.signed if signed else scale.show
    return Cell(f"{show(low)} – {show(high)}", float(low), float(high), scale=scale)


def share(value: float | None, decimals: int = 1) -> Cell:
    """Make the cell of a share in percent, with its sign.

    Examples
    --------
    >>> share(0.25, 0).text
    '25 %'
    """
    text = f"{percent(value, decimals)} %" if is_number(value) else NONE
    return Cell(text, _known(value), scale=PERCENT)


def count(value: int) -> Cell:
    """Make the cell of a whole number."""
    return Cell(str(value), value)


def p_cell(value: float) -> Cell:
    """Make the cell of a p-value."""
    return Cell(p_value(value), _known(value))


def chance(value: float) -> Cell:
    """Make the cell of a probability."""
    return Cell(probability(value), _known(value))


def _known(value: float | None) -> float | None:
    return float(value) if is_number(value) else None


def scaled(value: Value, scale: Scale) -> Value:
    """Give fractions in percent, without the last digits that only the multiplication makes."""
    if scale.factor == 1 or not isinstance(value, (int, float)):
        return value
    return float(f"{scale.factor * value:.15g}")
