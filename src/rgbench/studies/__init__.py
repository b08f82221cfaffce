"""Studies that ship with the package: quickstart, smoke, becker2021."""
