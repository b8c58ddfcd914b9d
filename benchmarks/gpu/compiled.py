"""Throughput of training with a compiled forward and backward pass, from Python and in CUDA graphs."""

import time

import torch
from benchmarks.gpu.common import MAIN, Sheet, at_work, parser, wait
from benchmarks.gpu.training import BATCH_SIZES, TINY_UPDATES, UPDATES, timed, updates
from benchmarks.gpu.ways import repeated


def main():
    chosen = at_work(parser(__doc__).parse_args())
    chosen.updates = TINY_UPDATES if chosen.tiny else UPDATES
    sheet = Sheet(chosen.out, "compiled")
    for batch_size in BATCH_SIZES:
        for name in ("cnn",) if chosen.tiny else MAIN:
            measure(sheet, name, batch_size, chosen)


def measure(sheet: Sheet, name: str, batch_size: int, chosen) -> None:
    subject = f"{name}, batch {batch_size}"
    torch._dynamo.reset()
    steps = updates(name, batch_size, 1, chosen, compiled=True)
    start = time.perf_counter()
    steps.step()
    wait(chosen.place)
    sheet.add(subject, "compiled", "seconds to compile", time.perf_counter() - start, "s")
    timed(sheet, subject, "compiled", steps, repeated(steps.step, chosen.updates), chosen)
    if chosen.place.type == "cuda":
        timed(sheet, subject, "compiled, graph", steps, steps.captured(chosen.updates).replay, chosen)


if __name__ == "__main__":
    main()
