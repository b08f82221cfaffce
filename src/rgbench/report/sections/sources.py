"""Sources to look at: those that most runs miss, and the surest answers of each network."""

from __future__ import annotations

from rgbench.numbers import counted
from rgbench.report.blocks import Block, Gallery, Heading, Section, Text
from rgbench.report.examples import examples, surest_right, surest_wrong
from rgbench.report.material import Runs
from rgbench.report.tiles import example_tile, hard_tiles


def section(runs: Runs) -> Section | None:
    """Show pictures of sources; nothing without predictions."""
    options = runs.options
    names = [row.network for row in runs.main.rows]
    galleries = [block for name in names[: options.galleries] for block in _gallery(runs, name)]
    blocks = (*_hard(runs), *galleries)
    if not blocks:
        return None
    words = Text(_words(len(names), options.galleries), small=True)
    return Section("sources", "Sources", "Sources to look at", blocks=(*blocks, words))


def _hard(runs: Runs) -> list[Block]:
    learnt = [record for record in runs.records if record.run_id not in runs.unsound]
    tiles = hard_tiles(learnt, runs.look, runs.options.hard)
    if not tiles:
        return []
    said = "Look at these first: a source that nearly every run misses is hard, or its label is wrong."
    if tiles[0].link:
        said += " Its position leads to a page that shows the sky there."
    return [Heading("Missed by most runs"), Text(said), Gallery(tuple(tiles), runs.options.picture_size)]


def _gallery(runs: Runs, network: str) -> list[Block]:
    """Show a network's surest right and wrong answers; nothing if it has none."""
    found = examples([r for r in runs.records if r.spec.network.name == network], runs.look.model)
    if not found:
        return []
    wrong, right = surest_wrong(found, runs.options.wrong), surest_right(found, runs.options.right)
    missed = sum(not example.right for example in found)
    lists = (
        (f"Wrong, and surest of it ({len(wrong)} of {missed})", wrong),
        (f"Right, and surest of it ({len(right)} of {len(found) - missed})", right),
    )
    blocks: list[Block] = [Heading(network)]
    for words, own in lists:
        if own:
            tiles = tuple(example_tile(example, runs.look) for example in own)
            blocks += [Text(words, small=True), Gallery(tiles, runs.options.picture_size)]
    return blocks


def _words(networks: int, shown: int) -> str:
    """Say how to read the pictures, and how many networks are left out."""
    said = (
        "The field that the networks saw, north up; brightness is stretched by an inverse hyperbolic sine from each "
        "image's faintest to its brightest pixel. p is the probability of the class given, averaged over the seeds; "
        "beside it, how many seeds say the same."
    )
    left = networks - shown
    return said + (
        f" Examples of {counted(left, 'more network')} are left out to keep the file small."
        if left > 0
        else ""
    )
