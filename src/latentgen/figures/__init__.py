"""Figures drawn from the tidy tables; the numbers behind each are returned with it and saved beside it.

Figures are made without pyplot, so no display and no global backend is touched.
"""

from latentgen.figures.curves import FIGURES, draw
from latentgen.figures.style import save

__all__ = ["FIGURES", "draw", "save"]
