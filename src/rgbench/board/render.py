"""Pages of a board as HTML: each holds its style and its script, and asks for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from rgbench.report.files.standalone import figure_style
from rgbench.report.html import environment, policy_hash, source, style


@dataclass(frozen=True)
class Renderer:
    """Writes pages as HTML.

    Attributes
    ----------
    footer : str
        With what they were made.
    """

    footer: str

    @cached_property
    def _made(self) -> Environment:
        return environment("rgbench.board", "rgbench.report")

    def html(self, template: str, **content: Any) -> bytes:
        """Give a page as HTML."""
        made = self._made
        look = style(made, "board.css")
        script = "\n".join(source(made, name) for name in ("report.js", "board.js"))
        return (
            made.get_template(template)
            .render(
                **content,
                footer=self.footer,
                style=Markup(look),
                script=Markup(script),
                figure_style=Markup(figure_style()),
                style_hash=policy_hash(look),
                script_hash=policy_hash(script),
            )
            .encode("utf8")
        )
