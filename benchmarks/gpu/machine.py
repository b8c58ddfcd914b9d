"""What the machine is, what it lacks, and the rates that no code of ours can pass."""

import importlib.util
import os
import platform
import subprocess
import sys

import torch
from benchmarks.gpu.common import ROOT, Sheet, at_work, parser, seconds

#: Import names of what the parts need and a machine made for PyTorch may lack.
NEEDED = ("jsonschema", "pytest", "safetensors", "sklearn", "snakemake", "umap", "yaml", "psutil", "seaborn", "numba")


def main():
    chosen = at_work(parser(__doc__).parse_args())
    sheet, place = Sheet(chosen.out, "machine"), chosen.place
    print(f"commit {_said('git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD')}")
    print(f"processor {_processor()}, {os.cpu_count()} cores; {platform.platform()}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    name = f"a processor ({platform.machine()})"
    if place.type == "cuda":
        found = torch.cuda.get_device_properties(place)
        name = found.name
        print(
            f"{torch.cuda.device_count()} x {found.name}, {found.total_memory / 2**30:.0f} GiB, "
            f"compute capability {found.major}.{found.minor}, {found.multi_processor_count} multiprocessors"
        )
        queried = ("nvidia-smi", "--query-gpu=driver_version,clocks.sm,power.limit", "--format=csv,noheader")
        print(f"cuDNN {torch.backends.cudnn.version()}; driver, clock, power limit {_said(*queried)}")
        sheet.add(name, "", "memory", found.total_memory / 2**30, "GiB")
        sheet.add(name, "", "devices", torch.cuda.device_count(), "")
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    print(f"packages that are absent: {', '.join(absent) or 'none'}")
    rates(sheet, name, place, chosen.tiny)
    if absent:
        sys.exit("bring the packages that `benchmarks/gpu.sh --needs` lists")


def rates(sheet: Sheet, name: str, place: torch.device, tiny: bool) -> None:
    """Bytes and products a second, and what a small kernel costs from Python and from a graph."""
    size, length = (256, 2**20) if tiny else (8192, 2**30)
    one, other = (torch.empty(length, dtype=torch.uint8, device=place).random_() for _ in range(2))
    times = seconds(lambda: other.copy_(one), place, 10)
    sheet.add(name, "copy on the device", "bytes read and written", [2 * length / t / 1e12 for t in times], "TB/s")
    host = torch.empty(length // 8, dtype=torch.uint8).random_()
    times = seconds(lambda: other[: len(host)].copy_(host), place, 5)
    sheet.add(name, "copy from the host", "bytes", [len(host) / t / 1e9 for t in times], "GB/s")
    products = {"float64": (torch.float64, "highest"), "float32": (torch.float32, "highest")}
    if place.type == "cuda":
        products |= {"TF32": (torch.float32, "high"), "bfloat16": (torch.bfloat16, "highest")}
    for label, (dtype, precision) in products.items():
        torch.set_float32_matmul_precision(precision)
        left, right = (torch.randn(size, size, device=place, dtype=dtype) for _ in range(2))
        times = seconds(lambda left=left, right=right: left @ right, place, 5)
        sheet.add(name, label, f"product of {size} x {size}", [2 * size**3 / t / 1e12 for t in times], "TFLOP/s")
    torch.set_float32_matmul_precision("highest")
    small, launches = torch.zeros(64, device=place), 1000

    def launch():
        for _ in range(launches):
            small.add_(1)

    sheet.add(name, "from Python", "small kernel", [t / launches * 1e6 for t in seconds(launch, place)], "us")
    if place.type == "cuda":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launch()
        sheet.add(name, "in a graph", "small kernel", [t / launches * 1e6 for t in seconds(graph.replay, place)], "us")


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _processor() -> str:
    for line in _said("lscpu").splitlines():
        if line.startswith("Model name:"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
