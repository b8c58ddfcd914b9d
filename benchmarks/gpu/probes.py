"""MASC and VeLPIC on layers of the published sizes: products, eigenproblems, scores, and other ways of each.

Activations are synthetic: rectified, with means that differ between ten classes and variances that fall from axis to
axis. The wide layer has more features than a class has examples, so its classes go through their dual Gram matrices.
"""

import torch
from benchmarks.gpu.common import N_CLASSES, Sheet, at_work, parser, seconds

from latentgen.probes import MASC, VeLPIC
from latentgen.probes.moments import ClassMoments

#: Examples × features.
SHAPES = [(60_000, 784), (60_000, 2048), (50_000, 16_384)]
TINY = [(600, 20), (200, 60)]
TEST = 10_000
CHUNK = 1000
#: Eigenproblems of more rows than this are solved for some classes only when ways are compared.
LARGE, SOME = 3000, 3


def main():
    chosen = at_work(parser(__doc__).parse_args())
    sheet = Sheet(chosen.out, "probes")
    for n, width in TINY if chosen.tiny else SHAPES:
        measure(sheet, n, width, chosen.place)
    for n, width in TINY if chosen.tiny else SHAPES:
        compare(sheet, n, width, chosen.place)


def activations(n: int, width: int, place: torch.device, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, width) float32 rows and (n,) int64 classes."""
    generator = torch.Generator(place).manual_seed(seed)
    shared = torch.Generator(place).manual_seed(12)
    axes = min(width, 512)
    scale = torch.arange(1, axes + 1, device=place).rsqrt()
    basis = torch.randn(axes, width, device=place, generator=shared)
    means = torch.randn(N_CLASSES, axes, device=place, generator=shared) * scale
    classes = torch.randint(N_CLASSES, (n,), device=place, generator=generator)
    codes = means[classes] + torch.randn(n, axes, device=place, generator=generator) * scale
    rows = (codes @ basis).relu_()
    rows += 0.05 * torch.rand(n, width, device=place, generator=generator)
    return rows, classes


def filled(rows: torch.Tensor, classes: torch.Tensor) -> ClassMoments:
    moments = ClassMoments(rows.shape[1], range(N_CLASSES), device=rows.device)
    for part, labels in zip(rows.split(CHUNK), classes.split(CHUNK), strict=True):
        moments.update(part, labels)
    return moments


def measure(sheet: Sheet, n: int, width: int, place: torch.device) -> None:
    """The library as it is, stage by stage and as a whole."""
    subject = f"{n:,} x {width:,}"
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rows, classes = activations(n, width, place)
    test, targets = activations(max(100, n // 6), width, place, seed=1)
    state = {}

    def fill():
        state["moments"] = filled(rows, classes)

    def decompose():
        state["moments"].release()
        for k in range(N_CLASSES):
            state["moments"].rank(k)

    def fit():
        state["masc"], state["velpic"] = MASC().fit_moments(state["moments"]), VeLPIC().fit_moments(state["moments"])

    def score():
        state["right"] = {
            name: (state[name].decision_function(test).argmax(1) == targets).double().mean()
            for name in ("masc", "velpic")
        }

    def everything():
        fill()
        fit()
        score()

    repeats = 1 if n * width > 5e8 else 3
    stages = {"update": fill, "eigenvalues and vectors": decompose, "axes": fit, "scores of both": score}
    for stage, work in stages.items():
        sheet.add(subject, "as it is", stage, seconds(work, place, repeats), "s")
    sheet.add(subject, "as it is", "MASC and VeLPIC, fit and score", seconds(everything, place, repeats, warm=0), "s")
    sheet.add(subject, "as it is", "axes of a class, mean", float(state["masc"].ranks_.mean()), "")
    for name, right in state["right"].items():
        sheet.add(subject, name, "accuracy", float(right), "")
    if place.type == "cuda":
        sheet.add(subject, "as it is", "most memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")
    state.clear()


def compare(sheet: Sheet, n: int, width: int, place: torch.device) -> None:
    """Other ways of the products and of the eigenproblems."""
    subject = f"{n:,} x {width:,}"
    rows, classes = activations(n, width, place)
    parts = [rows[classes == k] for k in range(N_CLASSES)]
    del rows
    dual = len(parts[0]) <= width
    size = min(map(len, parts)) if dual else width
    parts = [part[:size].T.contiguous() for part in parts] if dual else parts
    exact = [part.double() for part in parts[: SOME if size > LARGE else N_CLASSES]]
    grams = torch.stack([part.T @ part for part in exact])
    count = len(grams)
    del exact
    products = {
        "float64": lambda: [part.double().T @ part.double() for part in parts[:count]],
        "float32, whole classes": lambda: [(part.T @ part).double() for part in parts[:count]],
    }
    products["float32, blocks of 1,024"] = lambda: [
        sum((block.T @ block).double() for block in part.split(1024)) for part in parts[:count]
    ]
    for way, work in products.items():
        times = seconds(work, place, 2)
        error = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(work(), grams, strict=True))
        sheet.add(subject, f"products, {way}", "a class", [t / count for t in times], "s")
        sheet.add(subject, f"products, {way}", "largest error", error, "of the largest entry")
    parts.clear()
    solvers = {
        "float64, one each": lambda: [torch.linalg.eigh(gram)[0] for gram in grams],
        "float64, one call": lambda: torch.linalg.eigh(grams)[0],
        "float64, values alone": lambda: [torch.linalg.eigvalsh(gram) for gram in grams],
        "float32, one each": lambda: [torch.linalg.eigh(gram)[0] for gram in single],
        "float32, one call": lambda: torch.linalg.eigh(single)[0],
        "float64, subspace iteration": lambda: leading(grams),
    }
    single = grams.float()
    expected = torch.linalg.eigvalsh(grams[0])
    for way, work in solvers.items():
        times = seconds(work, place, 1 if size > LARGE else 2)
        sheet.add(subject, f"eigenproblem of {size:,}, {way}", "a class", [t / count for t in times], "s")
        found = work()[0].double()
        error = float((found[-1] - expected[-1]).abs() / expected[-1])
        sheet.add(subject, f"eigenproblem of {size:,}, {way}", "error of the largest value", error, "relative")


def leading(grams: torch.Tensor, axes: int = 256, turns: int = 4) -> torch.Tensor:
    """Largest eigenvalues of each matrix, ascending, by subspace iteration from a random start (one call for all)."""
    generator = torch.Generator(grams.device).manual_seed(0)
    size = grams.shape[-1]
    start = torch.randn(len(grams), size, min(axes, size), device=grams.device, dtype=grams.dtype, generator=generator)
    basis = torch.linalg.qr(grams @ start).Q
    for _ in range(turns):
        basis = torch.linalg.qr(grams @ basis).Q
    return torch.linalg.eigh(basis.mT @ grams @ basis)[0]


if __name__ == "__main__":
    main()
