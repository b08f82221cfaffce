"""``python -m rgbench`` is the command ``rgbench``."""

from rgbench.cli.app import main

if __name__ == "__main__":
    main()
