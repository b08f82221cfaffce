"""How numbers are written for people: short, with their unit, and a dash where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

NONE = "–"
"""What stands where there is no number."""

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def significant(value: float | None, digits: int = 3) -> str:
    """Write a number with so many significant digits, never in scientific notation.

    Examples
    --------
    >>> significant(4.5678), significant(77.94), significant(1234.5), significant(0.0123456)
    ('4.57', '77.9', '1234', '0.0123')
    >>> significant(None), significant(float("nan")), significant(99.96)
    ('–', '–', '100')
    """
    if not is_number(value):
        return NONE
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return _minus(f"{value:.{decimals}f}")


def count(value: float | None, unit: str = "") -> str:
    """Write a large count with a decimal prefix.

    Examples
    --------
    >>> count(4_567_890), count(779e6, "MAC"), count(950), count(1_500)
    ('4.57 M', '779 MMAC', '950', '1.50 k')
    """
    if not is_number(value):
        return NONE
    for size, prefix in _PREFIXES:
        if abs(value) >= 0.9995 * size:
            return f"{significant(value / size)} {prefix}{unit}"
    return f"{value:.0f} {unit}".strip()


def percent(value: float | None, decimals: int = 1) -> str:
    """Write a fraction as a percentage, without the sign.

    Examples
    --------
    >>> percent(0.7792), percent(float("nan"))
    ('77.9', '–')
    """
    return _minus(f"{100 * value:.{decimals}f}") if is_number(value) else NONE


def signed_percent(value: float | None) -> str:
    """Write a difference of fractions in percentage points, always with its sign.

    Examples
    --------
    >>> signed_percent(0.031), signed_percent(-0.0004), signed_percent(-0.02)
    ('+3.1', '0.0', '−2.0')
    """
    if not is_number(value):
        return NONE
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else _minus(text)


def signed(value: float | None, digits: int = 2) -> str:
    """Write a difference with so many significant digits, always with its sign.

    Examples
    --------
    >>> signed(0.0312), signed(-0.5), signed(0.0), signed(None)
    ('+0.031', '−0.50', '0', '–')
    """
    if not is_number(value) or value == 0:
        return significant(value)
    return f"{'−' if value < 0 else '+'}{significant(abs(value), digits)}"


def duration(seconds: float | None) -> str:
    """Write a time in the two largest of its units.

    Examples
    --------
    >>> duration(3.21), duration(48.7), duration(245), duration(7380), duration(200_000)
    ('3.2 s', '49 s', '4 min 05 s', '2 h 03 min', '2 d 08 h')
    """
    if not is_number(seconds):
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def probability(value: float) -> str:
    """Write a probability so that it says 1 only if it is 1.

    Examples
    --------
    >>> probability(0.934), probability(0.99987), probability(1.0), probability(0.0003)
    ('0.93', '> 0.99', '1.00', '< 0.01')
    """
    if not is_number(value):
        return NONE
    if 0.995 <= value < 1:
        return "> 0.99"
    if 0 < value < 0.005:
        return "< 0.01"
    return f"{value:.2f}"


def p_value(value: float) -> str:
    """Write a p-value to two digits, the smallest as a bound.

    Examples
    --------
    >>> p_value(0.0341), p_value(0.5), p_value(3e-12)
    ('0.034', '0.50', '< 0.0001')
    """
    return significant(value, 2) if not 0 <= value < 1e-4 else "< 0.0001"


def interval(
    low: float | None,
    high: float | None,
    confidence: float = 0.95,
    show: Callable[[float], str] = percent,
) -> str:
    """Name an interval within a sentence, its ends in percent unless told otherwise.

    Examples
    --------
    >>> interval(0.701, 0.802), interval(float("nan"), float("nan")), interval(0.51, 0.62, 0.9, PLAIN.show)
    ('95 % interval 70.1 to 80.2', 'no interval', '90 % interval 0.510 to 0.620')
    """
    if not (is_number(low) and is_number(high)):
        return "no interval"
    return f"{100 * confidence:g} % interval {show(low)} to {show(high)}"


def counted(n: int, thing: str, things: str = "") -> str:
    """Write how many there are of something, in the singular for one.

    Parameters
    ----------
    n : int
        Their number.
    thing, things : str
        What one is called, and what several are; by default with an s.

    Examples
    --------
    >>> counted(1, "source"), counted(1200, "source"), counted(0, "class", "classes")
    ('1 source', '1,200 sources', '0 classes')
    """
    return f"{n:,} {thing if n == 1 else things or f'{thing}s'}"


def capital(words: str) -> str:
    """Begin words with a capital letter, and leave the others as they are.

    Examples
    --------
    >>> capital("mean per-class accuracy (MPCA)")
    'Mean per-class accuracy (MPCA)'
    """
    return words[:1].upper() + words[1:]


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether a value is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


NAMED = 4
"""Networks named in a list, and pairs said in full in the answer."""


def listed(names: Sequence[str]) -> str:
    """Join names, the later ones of many as their number.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b", "c"]), listed(list("abcdefg"))
    ('a', 'a, b and c', 'a, b, c, d and 3 others')
    """
    return joined([*names[:NAMED], f"{len(names) - NAMED} others"] if len(names) > NAMED + 1 else names)


def joined(names: Sequence[str]) -> str:
    """Join names, all of them however many.

    Examples
    --------
    >>> joined(["a"]), joined(list("abcdefg"))
    ('a', 'a, b, c, d, e, f and g')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def rounded_up(n: int) -> int:
    """Round a number from 100 on up to two digits; more would pretend to be known.

    Examples
    --------
    >>> rounded_up(1096), rounded_up(7), rounded_up(12345)
    (1100, 7, 13000)
    """
    if n < 100:
        return n
    unit = int(10 ** (math.floor(math.log10(n)) - 1))
    return math.ceil(n / unit) * unit


def points(fraction: float) -> str:
    """Write a fraction in points.

    Examples
    --------
    >>> points(0.01), points(0.025)
    ('1 point', '2.5 points')
    """
    number = f"{100 * fraction:g}"
    return f"{number} point" if number == "1" else f"{number} points"


@dataclass(frozen=True)
class Scale:
    """How a quantity is written: a fraction in percent and its differences in points, or plainly as it is.

    Attributes
    ----------
    name : str
        "percent" or "plain", as the cards of metrics have it.
    factor : float
        By which a value is multiplied to be shown.
    unit, points : str
        Unit of a value, and of a difference of two; "" for none.
    """

    name: str
    factor: float
    unit: str = ""
    points: str = ""

    def show(self, value: float | None) -> str:
        """Write a value without its unit.

        Examples
        --------
        >>> PERCENT.show(0.7792), PLAIN.show(0.7792)
        ('77.9', '0.779')
        """
        return percent(value) if self.unit else significant(value)

    def signed(self, value: float | None) -> str:
        """Write a difference without its unit, always with its sign.

        Examples
        --------
        >>> PERCENT.signed(-0.0312), PLAIN.signed(-0.0312)
        ('−3.1', '−0.031')
        """
        return signed_percent(value) if self.unit else signed(value)

    def whole(self, value: float | None) -> str:
        """Write a value with its unit.

        Examples
        --------
        >>> PERCENT.whole(0.7792), PLAIN.whole(0.7792), PERCENT.whole(None)
        ('77.9 %', '0.779', '–')
        """
        return f"{self.show(value)} {self.unit}".strip() if is_number(value) else NONE

    def step(self, value: float) -> str:
        """Write a difference without its unit, with a sign only where it is below zero.

        Examples
        --------
        >>> PERCENT.step(-0.031), PLAIN.step(0.0312)
        ('−3.1', '0.031')
        """
        return percent(value) if self.unit else significant(value, 2)

    def amount(self, value: float) -> str:
        """Write the size of a difference, with its unit.

        Examples
        --------
        >>> PERCENT.amount(-0.031), PLAIN.amount(-0.031)
        ('3.1 points', '0.031')
        """
        return f"{self.step(abs(value))} {self.points}".strip()

    def difference(self, value: float) -> str:
        """Write a difference with its sign and unit.

        Examples
        --------
        >>> PERCENT.difference(-0.031), PLAIN.difference(0.031)
        ('−3.1 points', '+0.031')
        """
        return f"{self.signed(value)} {self.points}".strip()

    def heading(self, words: str) -> str:
        """Head a column of values.

        Examples
        --------
        >>> PERCENT.heading("MPCA"), PLAIN.heading("NLL")
        ('MPCA %', 'NLL')
        """
        return f"{words} {self.unit}".strip()

    def axis(self, words: str) -> str:
        """Name an axis, or a column of numbers behind a figure.

        Examples
        --------
        >>> PERCENT.axis("MPCA"), PLAIN.axis("NLL")
        ('MPCA / %', 'NLL')
        """
        return f"{words} / {self.unit}" if self.unit else words

    def differences(self, words: str) -> str:
        """Name an axis, or head a column, of differences.

        Examples
        --------
        >>> PERCENT.differences("lost"), PLAIN.differences("lost")
        ('lost / points', 'lost')
        """
        return f"{words} / {self.points}" if self.points else words


PERCENT = Scale("percent", 100.0, "%", "points")
PLAIN = Scale("plain", 1.0)
SCALES = (PERCENT, PLAIN)


def scale(name: str) -> Scale:
    """Give the scale of a name, as the cards of metrics have it.

    Examples
    --------
    >>> scale("percent").unit
    '%'
    """
    return next(each for each in SCALES if each.name == name)


def _minus(text: str) -> str:
    """Write a minus sign where there is a hyphen."""
    return text.replace("-", "−")
