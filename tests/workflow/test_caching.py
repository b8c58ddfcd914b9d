"""What is not computed again: results that were only moved, data that another folder has, and rules left untouched."""

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from snakemake_calls import SMOKE, check_out, environment, planned

from latentgen.datasets import ARRAYS
from repository import ROOT

pytestmark = pytest.mark.workflow

# Scripts


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return check_out(tmp_path_factory.mktemp("checkout"))


def planned_with(checkout, folder):
    """As `planned`, by the workflow of another checkout."""
    call = [sys.executable, "-m", "snakemake", "--snakefile", str(checkout / "Snakefile"), "--directory", str(folder)]
    call += ["--configfile", str(folder / "grid.yaml"), "--dry-run"]
    done = subprocess.run(call, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    if "Nothing to be done" in text:
        return {}
    counts = re.findall(r"^(\w+)\s+(\d+)$", text[text.index("Job stats") :], flags=re.M)
    return {rule: int(count) for rule, count in counts if rule not in ("all", "total")}


#: Jobs of the analyses, which share a script.
ANALYSES = {
    **{"fit_probes": 9, "geometry": 4, "gradients": 4, "embeddings": 2},
    **{"transfer": 5, "edit": 2, "relabel": 2, "rewind": 2},
}


@pytest.mark.parametrize("how", ["touched", "changed"])
@pytest.mark.parametrize(
    ("script", "jobs"),
    [
        ("analyse", {**ANALYSES, "gather": 8, "headline": 1, "draw_figure": 22}),
        ("draw_figure", {"draw_figure": 23}),
    ],
)
def test_a_younger_script_reruns_its_own_rule_and_what_comes_after(smoke, checkout, script, jobs, how):
    """Snakemake goes by the script's time stamp alone, so a touch counts as a change."""
    assert planned_with(checkout, smoke) == {}
    path = checkout / "workflow" / "scripts" / f"{script}.py"
    text, times = path.read_text(), path.stat()
    try:
        path.write_text(text + "# changed\n") if how == "changed" else path.touch()
        assert planned_with(checkout, smoke) == jobs
        path.write_text(text + "# changed\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert planned_with(checkout, smoke) == {}
    finally:
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


# Moving


def test_moved_results_are_up_to_date_with_and_without_snakemakes_records(smoke, tmp_path):
    moved = shutil.copytree(smoke, tmp_path / "elsewhere", symlinks=True)
    assert planned(moved, config=SMOKE) == {}
    shutil.rmtree(moved / ".snakemake")
    assert planned(moved, config=SMOKE) == {}


def contents(path):
    """Bytes of a file, with what is compressed in it."""
    yield path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        for kept in (table.schema, *table.schema):
            yield str(kept.metadata).encode()
        for name, column in zip(table.column_names, table.columns, strict=True):
            yield name.encode()
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                yield "\n".join(filter(None, column.unique().to_pylist())).encode()
    elif path.suffix == ".pdf":
        for stream in re.findall(rb"stream\r?\n(.*?)endstream", path.read_bytes(), flags=re.S):
            try:
                yield zlib.decompressobj().decompress(stream)
            except zlib.error:
                yield stream


def naming(folder, places):
    """Files below ``folder`` that name one of ``places``."""
    places = [str(place).encode() for place in places]
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return [path for path in files if any(place in part for part in contents(path) for place in places)]


def test_paths_are_found_where_they_are_compressed(tmp_path):
    frame = pa.table({"a": pa.array(["x", "/some/where"]).dictionary_encode(), "b": [1, 2]})
    pq.write_table(frame, tmp_path / "value.parquet", compression="zstd")
    pq.write_table(frame.drop_columns("a").replace_schema_metadata({"m": "/some/where"}), tmp_path / "kept.parquet")
    pq.write_table(frame.drop_columns("a"), tmp_path / "clean.parquet")
    (tmp_path / "a.pdf").write_bytes(b"stream\n" + zlib.compress(b"/some/where" * 9) + b"\nendstream")
    assert [path.name for path in naming(tmp_path, ["/some/where"])] == ["a.pdf", "kept.parquet", "value.parquet"]


def test_results_name_no_folder_of_this_machine(smoke):
    named = naming(smoke / "results", [smoke, ROOT, sys.prefix])
    assert [path for path in named if (smoke / "results/logs") not in path.parents] == []
    links = [path for path in (smoke / "results").rglob("*") if path.is_symlink()]
    assert links == []


# Snakemake's cache between workflows


def leaves(folder, seed):
    """Write a tiny data set of one's own."""
    rng = np.random.default_rng(seed)
    images = {f"x_{part}": rng.integers(0, 255, (6, 5, 5), dtype=np.uint8) for part in ("train", "test")}
    np.savez(folder / "leaves.npz", **images, y_train=np.arange(6) % 2, y_test=np.arange(6) % 2)


def caller(folder, cache, *targets, options=()):
    """Output of a call that prepares data sets with the cache; `--` ends the list of rules that are cached."""
    folder.mkdir(exist_ok=True)
    cache.mkdir(exist_ok=True)
    if not (folder / "leaves.npz").exists():
        leaves(folder, 0)
    entry = {**SMOKE["grid"][2], "dataset": ["digits", "leaves"], "validation": 0.0}
    declared = {"datasets": {"leaves": {"npz": "leaves.npz"}}, "device": "cpu"}
    (folder / "grid.yaml").write_text(yaml.safe_dump({**declared, "defaults": SMOKE["defaults"], "grid": [entry]}))
    call = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "grid.yaml"]
    done = subprocess.run(
        [*call, "--cores", "1", *options, "--cache", "prepare_data", "--", *targets],
        cwd=folder,  # which the path of leaves.npz is seen from
        env={**environment(), "SNAKEMAKE_OUTPUT_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def meta(*names):
    return [f"results/data/{name}/meta.json" for name in names]


def entries(cache):
    return {path.name.split("_")[0] for path in cache.iterdir()}


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """Folder with a cache, and with one folder that filled it."""
    root = tmp_path_factory.mktemp("cached")
    caller(root / "first", root / "cache", *meta("digits", "leaves"))
    return root


def linked(folder, name):
    """The one entry of the cache that a data set's files are links to."""
    files = [folder / "results/data" / name / file for file in ("meta.json", *(f"{array}.npy" for array in ARRAYS))]
    (entry,) = {os.readlink(path).rsplit("/", 1)[1].split("_")[0] for path in files}
    return entry


def test_data_sets_share_no_entry(cached):
    assert linked(cached / "first", "digits") != linked(cached / "first", "leaves")
    for name, n_classes in (("digits", 10), ("leaves", 2)):
        found = json.loads((cached / "first/results/data" / name / "meta.json").read_text())
        assert found["n_classes"] == n_classes


def test_built_in_data_sets_which_only_their_names_tell_apart_share_none_either(cached):
    said = caller(cached / "empty", cached / "cache", *meta("digits", "mnist"), options=["--dry-run"])
    looked_up = dict(re.findall(r"results/data/(\w+)/\S+ will be (obtained from|written to) global", said))
    assert looked_up == {"digits": "obtained from", "mnist": "written to"}


def test_a_second_folder_links_instead_of_computing(cached):
    before = entries(cached / "cache")
    said = caller(cached / "second", cached / "cache", *meta("digits", "leaves"))
    assert entries(cached / "cache") == before and len(before) >= 2
    assert said.count("from cache") == 2 * 5 and "to cache" not in said
    for name in ("digits", "leaves"):
        assert linked(cached / "second", name) == linked(cached / "first", name)


def test_another_file_under_the_same_name_is_another_entry(cached):
    other = cached / "other"
    other.mkdir()
    leaves(other, 1)
    caller(other, cached / "cache", *meta("leaves"))
    assert linked(other, "leaves") != linked(cached / "first", "leaves")
    arrays = [np.load(folder / "results/data/leaves/x_train.npy") for folder in (cached / "first", other)]
    assert not np.array_equal(*arrays)


def test_links_become_files_when_they_are_copied_as_such(cached, tmp_path):
    whole = tmp_path / "whole"
    subprocess.run(["cp", "-aL", str(cached / "first"), str(whole)], check=True)
    shutil.rmtree(whole / ".snakemake")
    assert not [path for path in (whole / "results").rglob("*") if path.is_symlink()]
    assert "Nothing to be done" in caller(whole, cached / "cache", *meta("digits", "leaves"), options=["--dry-run"])
