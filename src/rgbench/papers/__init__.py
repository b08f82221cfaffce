"""Numbers that papers report, one TOML file each; `rgbench.comparison.published` reads them."""
