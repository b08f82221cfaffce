"""Tasks: a data set, a split, a metric and rules, frozen; one TOML file each, read by `rgbench.tasks.catalogue`."""
