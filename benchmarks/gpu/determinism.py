"""Whether equal runs give equal bytes on the device, what differs if not, and what PyTorch's determinism would cost.

Each network is trained for some updates twice in one process and once in another, then with whatever algorithm cuDNN
likes best, and with nothing but what PyTorch knows to be deterministic. Analyses of one checkpoint are done twice.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import warnings

import torch
from benchmarks.gpu.common import MAIN, ROOT, Sheet, at_work, checkpoint, parser, seconds, training, wait

from latentgen.gradients import evaluate as gradients
from latentgen.interventions import evaluate as transfer
from latentgen.interventions.swaps import Swaps
from latentgen.probes import kinds
from latentgen.probes.evaluate import evaluate
from latentgen.training.recipe import Recipe

BATCH_SIZE = 32
#: Examples of the runs that are compared: enough updates that a difference of one bit would show.
EXAMPLES = 1_600
#: What `latentgen.compute` sets; cuDNN's choice of algorithms; `torch.use_deterministic_algorithms`.
MODES = ("as it is", "cuDNN's choice", "all deterministic")


def main():
    options = parser(__doc__)
    options.add_argument("--worker", choices=MODES, help=argparse.SUPPRESS)
    chosen = at_work(options.parse_args())
    if chosen.worker:
        print(json.dumps(trainings(chosen, chosen.worker)), flush=True)
        return
    sheet = Sheet(chosen.out, "determinism")
    call = [sys.executable, "-m", "benchmarks.gpu.determinism", str(chosen.out), "--device", chosen.device]
    call += ["--tiny"] * chosen.tiny
    here = trainings(chosen, MODES[0])
    found = {mode: json.loads(_output([*call, "--worker", mode])) for mode in MODES}
    for name in here:
        plain = found[MODES[0]][name]
        sheet.add(name, "training", "equal in two processes", plain["digests"][0] == here[name]["digests"][0], "")
        for mode in MODES:
            other = found[mode][name]
            sheet.add(name, f"training, {mode}", "equal in one process", len(set(other["digests"])) == 1, "")
            ratios = [b / a for a, b in zip(plain["seconds"], other["seconds"], strict=True)]
            sheet.add(name, f"training, {mode}", "time / time as it is", ratios, "")
            for complaint in other["complaints"]:
                print(f"  {name}: {complaint}")
    for name in ("cnn",) if chosen.tiny else ("cnn", "resnet18"):  # whatever an MLP computes, they do too
        analyses(sheet, name, chosen)


def trainings(chosen, mode: str) -> dict[str, dict]:
    """Of each network the digests of the weights of two equal runs, seconds of some epochs, and what PyTorch says."""
    if mode == MODES[1]:
        torch.backends.cudnn.deterministic = False
    if mode == MODES[2]:
        torch.use_deterministic_algorithms(True, warn_only=True)
    found = {}
    for name in ("cnn",) if chosen.tiny else MAIN:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            runs = [trained(name, chosen) for _ in range(2)]
        found[name] = {
            "digests": [digest for digest, _ in runs],
            "seconds": runs[1][1],
            "complaints": sorted(
                {str(w.message).partition("(")[0][:160] for w in caught if "determin" in str(w.message)}
            ),
        }
    return found


def trained(name: str, chosen) -> tuple[str, list[float]]:
    recipe = Recipe("sgd", 0.01, BATCH_SIZE, epochs=10, momentum=0.9)
    with tempfile.TemporaryDirectory() as folder:
        work = training(name, EXAMPLES, recipe, chosen, folder)
        epochs = iter(range(1, 10))
        times = seconds(lambda: work.train_epoch(next(epochs)), chosen.place, 1 if chosen.tiny else 2, warm=1)
        wait(chosen.place)
        state = work.model.state_dict()
        digest = hashlib.sha256(b"".join(t.detach().cpu().contiguous().numpy().tobytes() for t in state.values()))
    return digest.hexdigest(), times


def analyses(sheet: Sheet, name: str, chosen) -> None:
    """Rows of every analysis, computed twice."""
    _, labels, task, source, earlier, on = checkpoint(name, 2_000, chosen)
    layers = source.layers[-3:]
    ways = {
        kind: lambda kind=kind: evaluate(source, layers, {kind: kinds.complete({"kind": kind})}, task, chosen.place)
        for kind in ("masc", "logistic", "qda", "knn")
    }
    ways |= {
        "gradients": lambda: gradients.evaluate(source, labels),
        "transfer": lambda: transfer.evaluate(source, layers, task),
        "rewinding": lambda: Swaps(source, ["rewound", "reestimated"]).rows(earlier, on),
    }
    for way, compute in ways.items():
        sheet.add(name, way, "equal in one process", compute() == compute(), "")


def _output(call: list[str]) -> str:
    # cuBLAS keeps its sums in order only with a work space of its own, which it takes when it starts.
    environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if MODES[2] in call else None
    return subprocess.run(call, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
