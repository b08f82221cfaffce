"""Figures as SVG files of their own, for papers: in light colours, and nothing left to a style sheet.

Programs that edit or convert SVG seldom know CSS variables, and often no CSS at all. So every rule of the
figures' style sheet is written onto the shapes that it is about, as attributes. The page's own script does
the same with the same rules when a reader saves a figure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from xml.etree import ElementTree

FONT = "Helvetica, Arial, sans-serif"
PAPER = "#ffffff"
_RULE = re.compile(r"svg ([^{]+?)\s*\{([^}]*)\}")
_VARIABLE = re.compile(r"--([\w-]+):\s*([^;]+);")


@dataclass(frozen=True)
class _Rule:
    """What shapes of a tag (any if empty) and some classes look like."""

    tag: str
    classes: frozenset[str]
    look: dict[str, str]

    def fits(self, shape: ElementTree.Element) -> bool:
        own = set(shape.get("class", "").split())
        return self.tag in ("", shape.tag) and self.classes <= own


def figure_style() -> str:
    """Give the style sheet of the figures in the light colours of the page, no variable left.

    Examples
    --------
    >>> "svg text" in figure_style(), "var(" in figure_style()
    (True, False)
    """
    colours = dict(_VARIABLE.findall(_template("report.css").partition("@media")[0]))
    return re.sub(r"var\(--([\w-]+)\)", lambda match: colours[match[1]], _template("figure.css"))


def standalone(drawing: str) -> str:
    """Make a drawing of the page an SVG file that needs nothing else.

    Parameters
    ----------
    drawing : str
        SVG, as from `rgbench.report.draw.svg.drawing`.

    Returns
    -------
    str
        The file: white paper, a size in pixels, every look an attribute; no links, which would lead nowhere.

    Examples
    --------
    >>> from rgbench.report.draw.svg import drawing, line
    >>> "stroke" in standalone(drawing(20, 10, [line(0, 0, 9, 9, "rule")], "a line"))
    True
    """
    root = ElementTree.fromstring(drawing)
    rules = _rules(figure_style())
    for shape in root.iter():
        _dress(shape, rules)
    for link in root.iter("a"):
        link.tag = "g"
        link.attrib.clear()
    _frame(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _frame(root: ElementTree.Element) -> None:
    """Give the drawing its name space, size, font and paper."""
    width, height = root.get("viewBox", "0 0 100 100").split()[2:]
    look = {"xmlns": "http://www.w3.org/2000/svg", "width": width, "height": height, "font-family": FONT}
    root.attrib.update(look)
    paper = ElementTree.Element("rect", {"width": width, "height": height, "fill": PAPER})
    root.insert(0, paper)


def _dress(shape: ElementTree.Element, rules: list[_Rule]) -> None:
    """Write the look that the rules give a shape onto it; what it says itself counts less, as in CSS."""
    look: dict[str, str] = {}
    for rule in rules:
        if rule.fits(shape):
            look |= rule.look
    colour = look.pop("color", "#000000")
    shape.attrib.pop("class", None)
    for name, value in look.items():
        shape.set(name, colour if value == "currentColor" else value)


def _rules(style: str) -> list[_Rule]:
    """Read rules of the kind ``svg tag.class { name: value; }``, which are sorted by weight in the file."""
    made = []
    for selector, body in _RULE.findall(style):
        tag, *classes = selector.split(".")
        parts = (part.split(":", 1) for part in body.split(";") if part.strip())
        made.append(_Rule(tag, frozenset(classes), {name.strip(): value.strip() for name, value in parts}))
    return made


def _template(name: str) -> str:
    return (files("rgbench.report") / "templates" / name).read_text(encoding="utf8")
