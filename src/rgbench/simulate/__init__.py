"""Simulated skies: FIRST-like sources of the four classes from physical parameters, with known truth."""

from __future__ import annotations

from rgbench.simulate.mosaic import MosaicSpec, write_mosaic
from rgbench.simulate.simulate import SimulationSpec, simulate, write_simulation
from rgbench.simulate.sky import FIRST, Survey

__all__ = ["FIRST", "MosaicSpec", "SimulationSpec", "Survey", "simulate", "write_mosaic", "write_simulation"]
