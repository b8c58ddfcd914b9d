"""The estimate of a grid beside what Snakemake plans, and what the same grid left when it ran."""

import copy
import shutil
from collections import Counter

import pytest
from snakemake_calls import SMOKE, planned, run

from latentgen import grid, tables
from latentgen.estimate import counts

pytestmark = pytest.mark.workflow

#: Parts of the smoke grid: a network with every analysis and a stop rule, and one without.
STOPS, GOES_ON = "mlp_small", "cnn_small"


def part():
    config = copy.deepcopy(SMOKE)
    config["grid"] = [SMOKE["grid"][0], SMOKE["grid"][2]]
    return config


@pytest.fixture(scope="module")
def estimated(smoke, tmp_path_factory):
    """Folder with the estimate of that part, made as a user would, and what the call printed."""
    folder = tmp_path_factory.mktemp("estimated")
    shutil.copytree(smoke / "results/data", folder / "results/data")
    printed = run(folder, "--cores", "1", "results/estimate.txt", config=part()).stdout
    return folder, tables.read(folder / "results/estimate.parquet"), printed


def of_kind(smoke, model):
    """Bytes that the smoke grid has on disk for a network, by kind; linked files count once."""
    found, known = Counter(), set()
    for path in sorted((smoke / "results/runs/digits" / model).rglob("*.*")):
        if path.is_dir() or path.stat().st_ino in known:
            continue
        known.add(path.stat().st_ino)
        kept, size = "partial" in path.parts, path.stat().st_size
        if path.suffix == ".safetensors":
            found["resume states" if kept else "checkpoints"] += size
        elif path.name.startswith("records"):
            found["records"] += size
        elif path.name == "labels.parquet":
            found["labels"] += size
        elif path.suffix == ".parquet":
            found["tables"] += size if kept else 2 * size  # which are in the table of the whole grid once more
    return found


@pytest.mark.parametrize("dump", [False, True])
def test_jobs_are_those_that_snakemake_plans(tmp_path, dump):
    config = {**SMOKE, "activations": "dump"} if dump else SMOKE
    mine = grid.load(config).cells
    assert counts.jobs(counts.workloads(mine, dump), counts.gathering(mine)) == planned(tmp_path, config=config)


def test_checkpoints_weigh_exactly_what_is_told(smoke, estimated):
    _, frame, _ = estimated
    of_checkpoints = frame[(frame["quantity"] == "checkpoints") | (frame["kind"] == "checkpoints")]
    for model, basis in ((STOPS, "upper bound"), (GOES_ON, "exact")):
        rows = of_checkpoints[of_checkpoints["model"] == model].set_index("quantity")
        assert set(rows["basis"]) == {basis}
        counted, size = rows["value"]["checkpoints"], rows["value"]["bytes"]
        files = list((smoke / "results/runs/digits" / model).glob("*/*/checkpoints/*/*.safetensors"))
        assert size / counted * len(files) == of_kind(smoke, model)["checkpoints"]
        assert len(files) == counted if model == GOES_ON else len(files) < counted


def test_the_disk_is_told_within_a_tenth(smoke, estimated):
    _, frame, _ = estimated
    for model in (GOES_ON, STOPS):
        sizes = frame[(frame["quantity"] == "bytes") & (frame["model"] == model)].groupby("kind")["value"].sum()
        real = of_kind(smoke, model)
        assert set(sizes.index) == set(real)
        assert sum(real.values()) == pytest.approx(sizes.sum(), rel=0.1)
        for kind in real if model == GOES_ON else ():
            assert real[kind] == pytest.approx(sizes[kind], rel=0.15), kind
    data = frame[frame["kind"] == "data"]["value"].item()
    assert data == sum(path.stat().st_size for path in (smoke / "results/data/digits").iterdir())


def test_the_text_is_printed_and_names_its_file(estimated):
    folder, frame, printed = estimated
    text = (folder / "results/estimate.txt").read_text()
    assert text in printed and "\nresults/estimate.txt\n" in printed
    jobs = frame[frame["quantity"] == "jobs"].groupby("rule")["value"].sum()
    for rule, count in jobs.items():
        assert f"\n{rule} " in text and count >= 1
    together = next(line for line in text.splitlines() if line.startswith("together"))
    assert int(together.split()[1]) == jobs.sum()
    assert len(list((folder / "results/pilots").rglob("*.json"))) == 2
    seconds = frame[frame["quantity"] == "seconds"]
    assert (seconds[seconds["rule"] != "prepare_data"]["value"] > 0).all()


def test_limits_are_those_of_the_command_line(estimated):
    folder, _, _ = estimated
    for limit, arguments in (("8 h", []), ("7 min", ["--set-resources", "train:runtime=7"])):
        run(folder, "--cores", "1", "--forcerun", "estimate", *arguments, "--", "results/estimate.txt")
        of_train = next(
            line for line in (folder / "results/estimate.txt").read_text().splitlines() if line.startswith("train ")
        )
        assert f"  {limit}  " in of_train


def test_another_level_measures_nothing_again_and_another_network_only_itself(estimated):
    folder, _, _ = estimated
    more = part()
    more["defaults"]["levels"] = [0.0, 0.3, 0.6]
    assert planned(folder, "results/estimate.txt", config=more) == {"estimate": 1}
    more["grid"].append(copy.deepcopy(SMOKE["grid"][1]))
    assert planned(folder, "results/estimate.txt", config=more) == {"pilot": 1, "estimate": 1}
