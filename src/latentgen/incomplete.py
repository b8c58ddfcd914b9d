"""Tables that were gathered from a part of a grid: how they say so, and how figures and texts do."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow.parquet as pq

from latentgen.spelling import shortened

#: Key of a Parquet file's own metadata, so that a table that is copied elsewhere still says what it lacks.
_KEY = b"latentgen.missing"
#: Runs that a sentence names.
_NAMED = 3


def metadata(missing: Mapping[str, Any] | None) -> dict[bytes, bytes]:
    """What a table that lacks runs says of itself; nothing where it is whole.

    ``missing`` : ``of``, how many runs there should be, and ``runs``, names of those that it lacks
    """
    return {_KEY: json.dumps(missing).encode()} if missing else {}


def missing(paths: Iterable[str | os.PathLike]) -> tuple[list[str], int]:
    """Runs that some of the tables at ``paths`` lack, and how many there should be; none where all are whole."""
    said = [(pq.read_metadata(path).metadata or {}).get(_KEY) for path in paths]
    return together(json.loads(text) for text in said if text)


def together(lacking: Iterable[Mapping[str, Any]]) -> tuple[list[str], int]:
    """Runs that some of several tables lack, and how many the largest of them should have."""
    lacking = list(lacking)
    runs = dict.fromkeys(run for table in lacking for run in table["runs"])
    return list(runs), max((table["of"] for table in lacking), default=0)


def sentence(runs: list[str], number: int) -> str:
    """What `missing` found, in a sentence that names a few; empty where nothing is missing."""
    if not runs:
        return ""
    return f"{_count(runs, number)}: {shortened(runs, _NAMED)}."


def heading(runs: list[str], number: int) -> str:
    """What `missing` found, in lines for the top of a text, one for each run; empty where nothing is missing."""
    return "\n".join([f"{_count(runs, number)}:", *(f"  {run}" for run in runs), "", ""]) if runs else ""


def _count(runs: list[str], number: int) -> str:
    return f"PARTIAL RESULTS: {len(runs)} of {number} runs {'is' if len(runs) == 1 else 'are'} missing"
