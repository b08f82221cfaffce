"""Sources to look at: those that most runs miss, and the surest answers of each network."""

from __future__ import annotations

from rgbench.numbers import counted
from rgbench.report.blocks import Block, Fold, Gallery, Heading, LeftOut, Section, Text
from rgbench.report.examples import examples, surest_right, surest_wrong
from rgbench.report.material import Runs
from rgbench.report.tiles import example_tile, hard_tiles


def section(runs: Runs) -> Section | LeftOut:
    """Show pictures of sources; left out without predictions."""
    options = runs.options
    names = [row.network for row in runs.main.rows]
    galleries = [block for name in names[: options.galleries] for block in _gallery(runs, name)]
    blocks = (*_hard(runs), *galleries)
    if not blocks:
        return LeftOut("Pictures of sources", "no run has predictions")
    words = Text(_words(len(names), options.galleries), small=True)
    return Section(
        "sources",
        "Sources",
        "What do right and wrong answers look like?",
        finding="Pictures of the sources that most runs miss, and of each network's surest answers.",
        blocks=(*blocks, words),
    )


def _hard(runs: Runs) -> list[Block]:
    learnt = [record for record in runs.records if record.run_id not in runs.unsound]
    tiles = hard_tiles(learnt, runs.look, runs.options.hard)
    if not tiles:
        return []
    said = "If nearly every run misses a source, the source is hard or its label is wrong."
    if tiles[0].link:
        said += " Select its position to see the sky there."
    return [Heading("Missed by most runs"), Text(said), Gallery(tuple(tiles), runs.options.picture_size)]


def _gallery(runs: Runs, network: str) -> list[Block]:
    """Show a network's surest right and wrong answers; nothing if it has none."""
    found = examples([r for r in runs.records if r.spec.network.name == network], runs.look.model)
    if not found:
        return []
    wrong, right = surest_wrong(found, runs.options.wrong), surest_right(found, runs.options.right)
    missed = sum(not example.right for example in found)
    lists = (
        (f"The {len(wrong)} of its {missed} wrong answers that it is surest of", wrong),
        (f"The {len(right)} of its {len(found) - missed} right answers that it is surest of", right),
    )
    blocks: list[Block] = []
    for words, own in lists:
        if own:
            tiles = tuple(example_tile(example, runs.look) for example in own)
            blocks += [Text(words, small=True), Gallery(tiles, runs.options.picture_size)]
    return [Fold(f"The surest answers of {network}", tuple(blocks))]


def _words(networks: int, shown: int) -> str:
    """Say how to read the pictures, and how many networks are left out."""
    said = (
        "A picture shows what the networks saw, with north up. Brightness is stretched (inverse hyperbolic sine) "
        "from the faintest to the brightest pixel of each image. p is the probability of the answer, averaged over the "
        "seeds. Beside it stands how many seeds give this answer."
    )
    left = networks - shown
    return said + (
        f" Examples of {counted(left, 'more network')} are left out, to keep the file small."
        if left > 0
        else ""
    )
