"""From predictions to the answer: 50 made-up runs, 10 networks with 5 seeds each, 500 test sources."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory


class Answering:
    """The comparison, and the page of a report with nothing else beside the runs."""

    timeout = 600
    number, repeat, warmup_time = 1, 3, 0.0

    def setup(self) -> None:
        from benchmarks.report_speed import Size, make_records
        from rgbench.comparison.summary import compare

        self.records = make_records(Size(sources=500, epochs=20))
        self.comparisons = {"best": compare(self.records)}

    def time_compare(self) -> None:
        from rgbench.comparison.summary import compare

        compare(self.records)

    def time_page(self) -> None:
        from rgbench.report.html import write_page

        with TemporaryDirectory() as folder:
            write_page(Path(folder, "report.html"), self.comparisons, self.records)
