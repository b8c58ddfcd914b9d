"""Networks of this process, by their bytes: what another one with the same seeds must find, too.

``python -m latentgen.models.again FILE`` reads declared models from FILE and writes what they hash to in their place.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def digests(
    declared: Mapping[str, Mapping[str, Any]], in_shape: tuple[int, int, int], n_classes: int
) -> dict[str, str | None]:
    """SHA-256 of the initial weights of each model, None for one that cannot be made."""
    from latentgen import models

    found: dict[str, str | None] = {}
    for name, model in declared.items():
        digest = hashlib.sha256()
        try:
            for key, tensor in models.initialised(model, in_shape, n_classes, 0).state_dict().items():
                digest.update(f"{key} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().contiguous().numpy())
            found[name] = digest.hexdigest()
        except (Exception, SystemExit):
            found[name] = None
    return found


def elsewhere(
    declared: Mapping[str, Mapping[str, Any]], in_shape: tuple[int, int, int], n_classes: int
) -> dict[str, str | None]:
    """`digests` of a new process, in which Python orders sets otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "models.json"
        file.write_text(json.dumps([declared, in_shape, n_classes, sys.path]))
        # Whatever a user's code prints belongs to the log of this job, not to the answer.
        seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-m", __name__, str(file)], env=environment, check=True)
        return json.loads(file.read_text())


if __name__ == "__main__":
    file = Path(sys.argv[1])
    *arguments, sys.path[:] = json.loads(file.read_text())
    file.write_text(json.dumps(digests(*arguments)))
