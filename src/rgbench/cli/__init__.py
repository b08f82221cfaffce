"""The command line: options here, work in `rgbench.cli.work`."""
