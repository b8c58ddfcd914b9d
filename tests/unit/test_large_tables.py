"""Tables of many cells: their row groups, reading a part of them, and statistics taken grid point by grid point."""

from itertools import product

import frames
import frames_gradients
import frames_rewinding
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latentgen import figures, rowgroups, summary, tables
from latentgen.analyses import TABLES
from latentgen.digests import Damaged
from latentgen.figures import FIGURES, reading
from latentgen.numbers import averages
from latentgen.numbers.results import UNUSED, Results
from latentgen.summary import GRID_POINT, portions

pytestmark = pytest.mark.slow

POINT, SEEDS = ["dataset", "model", "noise", "level"], ["data_seed", "model_seed"]


def part(rows, level=0.0, data_seeds=(0,), start=0):
    """So many rows of one grid point, shared by its runs in turn, numbered in the column ``epoch``."""
    seeds = np.resize(data_seeds, rows)
    number = np.arange(start, start + rows)
    columns = {"dataset": "digits", "model": "mlp", "noise": "uniform", "level": level, "entry": "e"}
    frame = pd.DataFrame({"data_seed": seeds, "model_seed": 0, "epoch": number, "value": number / 7, "n": 3})
    frame = frame.assign(**columns, split="test", labels="true", mode="evaluated", metric="accuracy")
    return pa.Table.from_pandas(frame[tables.HISTORY.names], schema=tables.HISTORY, preserve_index=False)


def grouped(parts):
    """Lengths of the row groups, and which (level, data seed) each has; all rows are there, in their order."""
    found = list(rowgroups.row_groups(parts, POINT, SEEDS))
    whole = pa.concat_tables(parts)
    assert (pa.concat_tables(found) if found else whole.slice(0, 0)).equals(whole)
    runs = [set(zip(*group.select(["level", "data_seed"]).to_pydict().values(), strict=True)) for group in found]
    return [len(group) for group in found], runs


def test_cells_have_row_groups_of_their_own_over_all_their_parts():
    half = rowgroups.ENOUGH // 2 + 1
    parts = [part(half, data_seeds=[0, 1]), part(half, data_seeds=[1]), part(0), part(half, data_seeds=[0])]
    parts += [part(half, data_seeds=[2]), part(half, data_seeds=[2]), part(2 * half, 0.5, [0]), part(5, 0.5, [1])]
    assert grouped(parts) == ([3 * half, 2 * half, 2 * half, 5], [{(0, 0), (0, 1)}, {(0, 2)}, {(0.5, 0)}, {(0.5, 1)}])


def test_small_cells_share_a_row_group_those_of_a_grid_point_first():
    # Of one grid point up to ENOUGH rows share; where LEAST are reached, another grid point has its own.
    size = rowgroups.ENOUGH // 3
    lengths, runs = grouped([part(size, level, [seed]) for level in (0.0, 0.5) for seed in range(6)])
    assert lengths == [4 * size, 2 * size] * 2
    assert [{level for level, _ in found} for found in runs] == [{0.0}, {0.0}, {0.5}, {0.5}]
    lengths, _ = grouped([part(20, level, [seed]) for level in np.linspace(0, 1, 50) for seed in range(5)])
    assert min(lengths[:-1]) >= rowgroups.LEAST and max(lengths) < rowgroups.LEAST + 100
    assert grouped([part(0), part(0)]) == ([], [])


def test_a_large_cell_is_divided_and_memory_bounded():
    size, held = rowgroups.MOST // 2, []

    def parts():
        for number in range(5):
            held.append(number)
            yield part(size, start=number * size)
        yield part(7, data_seeds=[1])

    found = rowgroups.row_groups(parts(), POINT, SEEDS)
    assert len(next(found)) == 2 * size and held == [0, 1, 2]
    assert [len(group) for group in found] == [2 * size, size, 7]


def test_parts_without_run_columns_are_one_cell(tmp_path):
    schema = pa.schema([("a", pa.int64())])
    for name, values in (("one", [1, 2]), ("two", [3])):
        tables.write(pa.table({"a": values}), tmp_path / name)
    tables.concatenate([tmp_path / "one", tmp_path / "two"], schema, tmp_path / "both")
    assert tables.read(tmp_path / "both")["a"].tolist() == [1, 2, 3]
    assert pq.read_metadata(tmp_path / "both").num_row_groups == 1


@pytest.fixture
def gathered(tmp_path):
    """File of 3 levels × 2 data seeds, a row group each, of which one data seed's is longer than a row group may be."""
    paths = []
    for level, seed in product((0.0, 0.4, 0.8), (0, 1)):
        paths.append(tmp_path / f"{level}-{seed}.parquet")
        tables.write(
            part(rowgroups.MOST + 9 if (level, seed) == (0.4, 1) else rowgroups.ENOUGH, level, [seed]), paths[-1]
        )
    tables.concatenate(paths, tables.HISTORY, tmp_path / "history.parquet")
    return tmp_path / "history.parquet"


def test_gathering_twice_gives_equal_bytes_and_statistics_of_the_run_columns(gathered, tmp_path):
    again = sorted(tmp_path.glob("0.*.parquet"))
    tables.concatenate(again, tables.HISTORY, tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == gathered.read_bytes()
    about = pq.read_metadata(gathered)
    assert about.num_row_groups == 7
    ranges = [about.row_group(3).column(tables.HISTORY.get_field_index(name)).statistics for name in [*POINT, *SEEDS]]
    assert [found.min for found in ranges] == [found.max for found in ranges] == ["digits", "mlp", "uniform", 0.4, 1, 0]


def test_reading_a_cell_touches_its_row_groups_alone(gathered):
    whole = pq.read_table(gathered).to_pandas()
    about = pq.read_metadata(gathered)
    wanted = [("level", "==", 0.4), ("data_seed", "==", 1)]
    data = bytearray(gathered.read_bytes())
    for number in range(about.num_row_groups):
        columns = [about.row_group(number).column(k) for k in range(about.num_columns)]
        if columns[3].statistics.min == 0.4 and columns[4].statistics.min == 1:
            continue
        start = min(column.dictionary_page_offset or column.data_page_offset for column in columns)
        size = sum(column.total_compressed_size for column in columns)
        data[start : start + size] = bytes(size)
    gathered.write_bytes(data)
    found = tables.read(gathered, filters=wanted)
    chosen = whole[(whole["level"] == 0.4) & (whole["data_seed"] == 1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, chosen)
    with pytest.raises(Damaged):
        tables.read(gathered)


def test_reading_equals_arrows_own_conversion(tmp_path):
    """With nulls of every kind, an empty table, chosen columns, and any of several conditions."""
    schema = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.bool_()), ("d", pa.float64())])
    table = pa.table({"a": [1, None, 3], "b": ["x", None, "é"], "c": [True, None, False], "d": [0.5, None, 1]}, schema)
    # A folder's name that looks like a partition is none.
    path = tmp_path / "kept=here" / "table.parquet"
    for rows in (table, table.slice(0, 0), table.slice(1, 1), pa.concat_tables([table, table])):
        tables.write(rows, path)
        pd.testing.assert_frame_equal(tables.read(path), rows.to_pandas())
    pd.testing.assert_frame_equal(tables.read(path, ["d", "b"]), rows.select(["d", "b"]).to_pandas())
    any_of = tables.read(path, ["a"], filters=[[("b", "==", "x")], [("a", ">", 2), ("c", "==", False)]])
    assert any_of["a"].tolist() == [1, 3, 1, 3]


# --- portions -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results():
    # One model has more probes than the other, so that grid points differ in size.
    options = {"levels": (0.0, 0.6), "data_seeds": range(2), "probes": ("masc", "velpic"), "schedule": (0, 1, 5, 40)}
    found = frames.results(**options, validation=True, edit_epochs=(1,))
    probes = found.probes
    fewer = probes[(probes["model"] == "mlp") | (probes["probe"] == "masc")].reset_index(drop=True)
    given = {name: getattr(found, name) for name in ("history", "transfer", "edit", "relabel")}
    return Results.of({**given, "probes": fewer}, settings=found.settings, chance=found.chance)


@pytest.fixture(scope="module")
def headline(results):
    given = {name: getattr(results, name) for name in ("probes", "history", "transfer", "edit", "relabel")}
    return summary.headline(**given)


@pytest.mark.parametrize("enough", [1, 500, 10**9])
def test_portions_are_whole_grid_points(results, monkeypatch, enough):
    monkeypatch.setattr(portions, "ENOUGH", enough)
    given = (results.probes, results.history, results.history.head(0))
    found = list(portions.portions(*given))
    points = [set(map(tuple, portion[1][GRID_POINT].to_numpy())) for portion in found]
    assert sum(map(len, points)) == len(set().union(*points)) == 4
    assert len(found) == {1: 4, 10**9: 1}.get(enough, len(found))
    for place, frame in enumerate(given):
        back = pd.concat([portion[place] for portion in found])
        pd.testing.assert_frame_equal(back.sort_index(), frame)
    of_probes = [set(map(tuple, portion[0][GRID_POINT].to_numpy())) for portion in found]
    assert of_probes == points


def test_portions_may_divide_grid_points_but_no_curve(results, monkeypatch):
    monkeypatch.setattr(portions, "ENOUGH", 1)
    curve = [*GRID_POINT, "probe", "layer"]
    found = [portion for (portion,) in portions.portions(results.probes, whole=curve)]
    assert all(len(portion[curve].drop_duplicates()) == 1 for portion in found)
    assert len(found) == len(results.probes[curve].drop_duplicates())
    pd.testing.assert_frame_equal(pd.concat(found).sort_index(), results.probes)


def test_statistics_by_portions_equal_those_of_the_whole(results, monkeypatch):
    given = {"probes": results.probes, "history": results.history, "rewind": frames_rewinding.rewind(results.history)}
    rows, by = summary.probe_accuracy(results.probes), [*GRID_POINT, "probe", "layer"]
    whole = summary.headline(**given), averages.over_epochs(rows, by)
    monkeypatch.setattr(portions, "ENOUGH", 1)
    pd.testing.assert_frame_equal(summary.headline(**given), whole[0], check_exact=True)
    pd.testing.assert_frame_equal(averages.over_epochs(rows, by), whole[1], check_exact=True)


# --- what figures read ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(results, tmp_path_factory):
    """Gathered tables of ``results``, a part for each run, with losses besides."""
    folder, paths = tmp_path_factory.mktemp("tables"), []
    for name in ("probes", "history", "transfer", "edit", "relabel"):
        parts = []
        for number, (_, run) in enumerate(getattr(results, name).groupby([*POINT, *SEEDS], sort=False)):
            both = pd.concat([run, run.assign(metric="loss", value=7.0)])
            parts.append(folder / f"{name}-{number}.parquet")
            tables.write(pa.Table.from_pandas(both, schema=TABLES[name].schema, preserve_index=False), parts[-1])
        paths.append(folder / f"{name}.parquet")
        tables.concatenate(parts, TABLES[name].schema, paths[-1])
    return paths


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["fig1", "fig3", "fig6", "fig9", "fig10", "fig12"])
def test_what_figures_do_not_read_makes_no_difference(results, files, monkeypatch, name):
    monkeypatch.setattr(portions, "ENOUGH", 1)
    read = reading.results(name, files, settings=results.settings, chance=results.chance)
    assert set(read.probes["metric"]) == set(read.history["metric"]) == {"accuracy"}
    assert len(read.probes) < len(results.probes) and not set(read.probes) & set(UNUSED)
    drawn, whole = figures.draw(name, read).table, figures.draw(name, results).table
    pd.testing.assert_frame_equal(drawn, whole, check_exact=True)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        *product([frames.geometry_results], ["fig16", "fig17", "fig18", "fig19"]),
        *product([frames_rewinding.results], ["fig20", "fig21", "fig22"]),
        *product([frames_gradients.results], ["fig23", "fig24"]),
    ],
)
def test_rows_of_analyses_that_figures_do_not_show_are_not_read(make, name, tmp_path):
    whole = make(schedule=(0, 1, 5, 40), data_seeds=range(2), levels=(0.6,))
    there = [*FIGURES[name].tables, *FIGURES[name].also]
    paths = {table: tmp_path / f"{table}.parquet" for table in there}
    for table, path in paths.items():
        frame = getattr(whole, table)
        frame = pd.concat([frame.assign(metric="else"), frame])
        tables.write(pa.Table.from_pandas(frame, schema=TABLES[table].schema, preserve_index=False), path)
    read = reading.results(name, paths.values(), settings=whole.settings, chance=whole.chance)
    own = FIGURES[name].tables[0]
    assert len(getattr(read, own)) < pq.read_metadata(paths[own]).num_rows
    drawn, drawn_whole = figures.draw(name, read).table, figures.draw(name, whole).table
    pd.testing.assert_frame_equal(drawn, drawn_whole, check_exact=True)


def test_the_headline_of_files_is_that_of_their_tables(results, headline, files, monkeypatch):
    monkeypatch.setattr(portions, "ENOUGH", 1)
    read = reading.results("fig15", files, settings=results.settings, chance=results.chance)
    pd.testing.assert_frame_equal(read.headline, headline, check_exact=True)
    drawn, whole = figures.draw("fig15", read).table, figures.draw("fig15", results).table
    pd.testing.assert_frame_equal(drawn, whole, check_exact=True)


def test_a_headline_of_files_without_test_accuracies_is_refused(files):
    no_probe = tables.read(files[0], filters=[("metric", "==", "loss")])
    tables.write(
        pa.Table.from_pandas(no_probe, schema=TABLES["probes"].schema, preserve_index=False),
        files[0].parent / "x" / "probes.parquet",
    )
    with pytest.raises(ValueError, match="none has a test accuracy on any layer"):
        reading.headline([files[0].parent / "x" / "probes.parquet", *files[1:]])


def test_portions_of_files_are_whole_grid_points_wherever_their_rows_are(tmp_path, monkeypatch):
    """A grid point in two places of the file, others with it in one row group, one that the first table lacks."""
    sizes = [(0.0, 0, 20_000), (0.5, 0, 30), (0.7, 0, 20), (0.0, 1, 10), (0.9, 0, 20_000)]
    for name, left_out in (("history", None), ("probes", 0.7)):
        paths = []
        for number, (level, seed, size) in enumerate(sizes):
            paths.append(tmp_path / f"{number}.parquet")
            tables.write(part(0 if level == left_out else size, level, [seed], start=number), paths[-1])
        tables.concatenate(paths, tables.HISTORY, tmp_path / f"{name}.parquet")
    monkeypatch.setattr(portions, "ENOUGH", 1000)
    paths = {name: tmp_path / f"{name}.parquet" for name in ("probes", "history")}
    columns = [*POINT, *SEEDS, "epoch", "value"]
    found = list(portions.read_portions(paths, {"probes": (columns, None), "history": (columns, [("epoch", ">", 3)])}))
    assert [set(portion["probes"]["level"]) for portion in found] == [{0.0}, {0.5, 0.9}]
    for name, path in paths.items():
        whole = pq.read_table(path, columns=columns).to_pandas()
        whole = whole[(whole["level"] != 0.7) & ((name == "probes") | (whole["epoch"] > 3))]
        of_level = [portion[name] for portion in found]
        for rows in of_level:
            expected = whole[whole["level"].isin(set(rows["level"]))].reset_index(drop=True)
            pd.testing.assert_frame_equal(rows, expected)
        assert sum(map(len, of_level)) == len(whole)
