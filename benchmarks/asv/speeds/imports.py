"""What a user waits for before anything happens."""

from __future__ import annotations


class Starting:
    """Each in a process of its own."""

    timeout = 120
    repeat = (3, 5, 30.0)
    number = 1

    def timeraw_import_of_rgbench(self) -> str:
        return "import rgbench"

    def timeraw_help(self) -> str:
        return "from rgbench.cli.app import app; import typer; typer.main.get_command(app)"

    def timeraw_reading_a_study(self) -> str:
        return "from rgbench.runs.study import find_study; find_study('smoke')"
