"""What geometry takes, measured on a pilot's checkpoints."""

import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from latentgen.analysis import Pilot
from latentgen.geometry.declaration import GEOMETRY, LAST

#: Numba compiles the solver once for a machine; no job should be charged with that.
_COMPILE = (
    "import numpy as np; from latentgen.geometry import manifold_geometry; r = np.random.default_rng(0); "
    "manifold_geometry([r.normal(size=(4, 20)) for _ in range(3)], n_t=2, n_restarts=1)"
)


def measure(pilot: Pilot, settings: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and bytes of the units ``cold``, ``fixed``, ``each``, and ``simulated`` of a checkpoint that has it."""
    subprocess.run([sys.executable, "-c", _COMPILE], check=True)
    theory = settings | {"simulated": None}
    seconds, sizes = pilot.per_checkpoint(lambda n: pilot.rows(GEOMETRY, theory, n))
    if settings["simulated"]:
        began = time.perf_counter()
        pilot.rows(GEOMETRY, settings | {"simulated": settings["simulated"] | {"epochs": [LAST]}}, 1)
        without = seconds["fixed"] + seconds["each"]
        seconds["simulated"] = max(time.perf_counter() - began - without, 0.0)
    return seconds, sizes
