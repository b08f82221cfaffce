"""The protocols as data: one TOML file each, read by `rgbench.spec`."""
