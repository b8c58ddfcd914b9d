"""Throughput of several runs in CUDA graphs on streams of their own, which the device may overlap.

A part of its own, because a fault on the device ends the process that meets it.
"""

from benchmarks.gpu.common import MAIN, Sheet, at_work, parser
from benchmarks.gpu.training import BATCH_SIZE, TOGETHER, UPDATES, timed, updates
from benchmarks.gpu.ways import on_streams


def main():
    chosen = at_work(parser(__doc__).parse_args())
    chosen.updates = UPDATES
    sheet = Sheet(chosen.out, "streams")
    if chosen.place.type != "cuda":
        print("streams are a GPU's: nothing measured")
        return
    for name in MAIN:
        singles = [updates(name, BATCH_SIZE, 1, chosen) for _ in range(min(TOGETHER))]
        work = on_streams([single.captured(chosen.updates) for single in singles])
        method = f"{len(singles)} graphs on streams"
        timed(sheet, f"{name}, batch {BATCH_SIZE}", method, None, work, chosen, len(singles))


if __name__ == "__main__":
    main()
