"""From a configuration to runs and paths. Importing this package imports nothing that computes.

`latentgen.grid.checks` refuses a bad configuration before any job, `latentgen.grid.cells` expands a good one,
`latentgen.grid.parts` knows the files that tables are gathered from.
"""

from latentgen.grid.cells import Cell, Grid, Run
from latentgen.grid.checks import ConfigError, load
from latentgen.grid.parts import parts, present

__all__ = ["Cell", "ConfigError", "Grid", "Run", "load", "parts", "present"]
