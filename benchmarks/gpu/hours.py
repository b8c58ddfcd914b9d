"""Measured rates turned into hours for the published grids, by `benchmarks/published_cost.py`.

With the training that the workflow has, and with the fastest method that was measured for each network; with the most
epochs that the configurations allow, and with 150, near which the published runs stop.
"""

import math
import sys

from benchmarks.gpu.common import ROOT, Sheet, parser
from benchmarks.published_cost import Measured, totals

GRIDS = ("ketha2026", "stephenson2021")
STOP = 150


def main():
    chosen = parser(__doc__).parse_args()
    if missing := [part for part in ("training", "probes") if not (chosen.out / f"{part}.parquet").exists()]:
        sys.exit(f"needs what {' and '.join(missing)} measured")
    sheet = Sheet(chosen.out, "hours")
    for method, best in (("as it is", False), ("fastest measured", True)):
        rates = Measured(chosen.out, best)
        for name in GRIDS[:1] if chosen.tiny else GRIDS:
            for epochs in (None, STOP):
                found = totals(
                    [ROOT / "config" / name / ("mlp-mnist.yaml" if chosen.tiny else "all.yaml")], rates, epochs
                )
                for (model, dataset), row in found.items():
                    if epochs is not None and model != "all":
                        continue
                    subject = f"{name}, {model} {dataset}".strip() + (f", {epochs} epochs" if epochs else "")
                    for step in ("training", "probing"):
                        if math.isnan(hours := row[f"{step}, h"]):
                            print(f"{subject}, {method}: {step} is not known, because training was not measured")
                        else:
                            sheet.add(subject, method, step, hours, "h")


if __name__ == "__main__":
    main()
