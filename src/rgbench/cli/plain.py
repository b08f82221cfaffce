"""A console of rich on which text that others wrote is text; importing it loads rich, which help need not wait for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.text import Text

from rgbench.escapes import visible


class PlainConsole(Console):
    """A console that knows no markup, guesses no colours, and shows what cannot be seen as `visible` writes it.

    Only line breaks stay. Parameters are those of rich's console.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text of a string, so that its width is that of what is shown."""
        return super().render_str(visible(text, "\n"), **options)

    def render(self, renderable: RenderableType, options: Any = None) -> Iterable[Segment]:
        """Give what is written, that of texts which rich or others made too."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, "\n"), segment.style)
