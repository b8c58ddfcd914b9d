"""Throughput of training: as it is, in CUDA graphs, and several runs of a cell together.

Updates a second of the published networks with SGD and momentum, batches of 32 and 128, on synthetic images of the real
size. Beside each method stands how far its weights are from those of single steps, after the same updates.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time

import torch
from benchmarks.gpu.common import MAIN, ROOT, Sheet, at_work, network, parser, seconds, synthetic, training, wait
from benchmarks.gpu.ways import Updates, repeated

from latentgen.pixels import Pixels
from latentgen.training.recipe import Recipe

BATCH_SIZES = {32: MAIN, 128: (*MAIN, "alexnet", "vgg16")}
#: That of several processes and of streams.
BATCH_SIZE = 32
#: Updates in a graph: many enough that its launch costs nothing, few enough that an epoch is a multiple of them.
UPDATES, TINY_UPDATES = 20, 2
#: Runs that are trained together.
TOGETHER = (4, 16)
#: Processes that share the device, each with one run.
PROCESSES = 4
#: Training examples: the time of an update does not depend on how many there are.
EXAMPLES = 6_400


def main():
    options = parser(__doc__)
    options.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = at_work(options.parse_args())
    if chosen.worker:
        return worker(chosen)
    sheet = Sheet(chosen.out, "training")
    chosen.updates = TINY_UPDATES if chosen.tiny else UPDATES
    for batch_size, names in BATCH_SIZES.items():
        for name in MAIN if chosen.tiny else names:
            measure(sheet, name, batch_size, chosen)
    processes(sheet, chosen)


def recipe(batch_size: int) -> Recipe:
    """That of the published MLP and CNN, but for its batch size."""
    return Recipe("sgd", 0.001, batch_size, epochs=1000, momentum=0.9)


@functools.cache
def on_device(name: str, tiny: bool, place: torch.device) -> tuple[Pixels, torch.Tensor]:
    """Images and given labels."""
    data, labels = synthetic(name, tiny, EXAMPLES)
    return Pixels(data.x_train, data, place), torch.from_numpy(labels.given).to(place)


def updates(name: str, batch_size: int, runs: int, chosen, **options) -> Updates:
    """The same for ``runs`` networks, with orders of their own."""
    pixels, given = on_device(name, chosen.tiny, chosen.place)
    networks = [network(name, chosen.tiny, seed).to(chosen.place) for seed in range(runs)]
    generator = torch.Generator().manual_seed(0)
    orders = torch.stack([torch.randperm(len(given), generator=generator) for _ in range(runs)])
    return Updates(networks, pixels, given, orders.to(chosen.place), batch_size, **options)


def measure(sheet: Sheet, name: str, batch_size: int, chosen) -> None:
    subject = f"{name}, batch {batch_size}"
    with tempfile.TemporaryDirectory() as folder:
        run = training(name, EXAMPLES, recipe(batch_size), chosen, folder)
        steps = -(-len(run.labels) // batch_size)
        epochs = iter(range(1, 100))
        times = seconds(lambda: run.train_epoch(next(epochs)), chosen.place, 3)
        sheet.add(subject, "as it is", "updates a second", [steps / t for t in times], "1/s")
    one = updates(name, batch_size, 1, chosen)
    reference = after(one, one.step, 2 * chosen.updates)
    timed(sheet, subject, "single steps", one, repeated(one.step, chosen.updates), chosen)
    if chosen.place.type != "cuda":
        several(sheet, subject, name, batch_size, 2, reference, chosen)
        return
    graph = one.captured(chosen.updates)
    difference(sheet, subject, "graph", after(one, graph.replay, 2), reference, chosen)
    timed(sheet, subject, "graph", one, graph.replay, chosen)
    del one, graph
    for runs in {"mlp": TOGETHER, "cnn": TOGETHER, "resnet18": TOGETHER[:1]}.get(name, ()):
        several(sheet, subject, name, batch_size, runs, reference, chosen)
    torch.cuda.empty_cache()


def several(sheet: Sheet, subject: str, name: str, batch_size: int, runs: int, reference, chosen) -> None:
    """Rates count the updates of all runs together."""
    cuda = chosen.place.type == "cuda"
    replicas = updates(name, batch_size, runs, chosen)
    method = f"{runs} batched replicas"
    if runs == min(TOGETHER) or not cuda:
        difference(sheet, subject, method, after(replicas, replicas.step, 2 * chosen.updates), reference, chosen)
        timed(sheet, subject, method, replicas, repeated(replicas.step, chosen.updates), chosen, runs)
    if not cuda:
        return
    graph = replicas.captured(chosen.updates)
    timed(sheet, subject, f"{method}, graph", replicas, graph.replay, chosen, runs)


def timed(sheet: Sheet, subject: str, method: str, steps: Updates | None, work, chosen, runs: int = 1) -> None:
    """Keep the rate of ``work``, which does ``chosen.updates`` updates of each run, over a third of a second or so."""
    if steps is not None:
        steps.reset()
    once = min(seconds(work, chosen.place, 2))
    often = 1 if chosen.tiny else max(1, min(100, int(0.3 / once)))
    times = seconds(repeated(work, often), chosen.place, 3, warm=0)
    rates = [runs * often * chosen.updates / t for t in times]
    sheet.add(subject, method, "updates a second", rates, "1/s")


def after(steps: Updates, work, times: int) -> list[torch.Tensor]:
    """Weights of the first network after ``times`` calls of ``work`` from the start."""
    steps.reset()
    repeated(work, times)()
    return [tensor.detach().double().clone() for tensor in steps.first()]


def difference(sheet: Sheet, subject: str, method: str, found, reference, chosen) -> None:
    """Norm of the difference of all weights after ``2 * chosen.updates`` updates, relative to that of the weights."""
    apart = sum(float((a - b).norm() ** 2) for a, b in zip(found, reference, strict=True)) ** 0.5
    size = sum(float(b.norm() ** 2) for b in reference) ** 0.5
    sheet.add(subject, method, "difference of weights", apart / size, "of their norm")


def processes(sheet: Sheet, chosen) -> None:
    """Runs in processes of their own, as jobs that share a GPU."""
    call = [sys.executable, "-m", "benchmarks.gpu.training", str(chosen.out), "--device", chosen.device, "--worker"]
    call += ["--tiny"] if chosen.tiny else []
    count = 2 if chosen.tiny else PROCESSES
    running = [
        subprocess.Popen(call, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        for name in MAIN:
            answers = []
            for process in running:
                if process.stdout.readline().strip() != "ready":
                    raise RuntimeError("a process that trains ended too early")
            for process in running:
                process.stdin.write("go\n")
                process.stdin.flush()
            answers = [json.loads(process.stdout.readline()) for process in running]
            span = max(answer["end"] for answer in answers) - min(answer["start"] for answer in answers)
            rate = sum(answer["updates"] for answer in answers) / span
            sheet.add(f"{name}, batch {BATCH_SIZE}", f"{count} processes, as it is", "updates a second", rate, "1/s")
    finally:
        for process in running:
            process.stdin.close()
            process.wait(60)


def worker(chosen) -> None:
    for name in MAIN:
        with tempfile.TemporaryDirectory() as folder:
            run = training(name, EXAMPLES, recipe(BATCH_SIZE), chosen, folder)
            run.train_epoch(1)
            wait(chosen.place)
            print("ready", flush=True)
            sys.stdin.readline()
            start, done = time.time(), 0
            while done == 0 or (time.time() - start < 2 and not chosen.tiny):
                run.train_epoch(2 + done)
                wait(chosen.place)
                done += 1
            steps = done * -(-len(run.labels) // BATCH_SIZE)
            print(json.dumps({"start": start, "end": time.time(), "updates": steps}), flush=True)


if __name__ == "__main__":
    main()
