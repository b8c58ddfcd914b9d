"""Values that papers have published, and how a grid compares with them.

Each value is a row of a table, one file for each paper; what has to agree with it is found in the tables of a grid by
the names of the data set, model, noise kind, level and probe. The functions are loaded on first use, because the
modules behind them import pandas.
"""

from latentgen import lazy

#: Raised by hand when a change alters the scoreboard.
VERSION = 1

_HOMES = {"facts": "values", "rows": "values", "scoreboard": "comparison", "scoreboard_text": "text"}

__all__ = ["facts", "rows", "scoreboard", "scoreboard_text"]

__getattr__, __dir__ = lazy.names(__name__, _HOMES)
