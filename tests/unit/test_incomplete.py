"""Results of a part of a grid: what is there, what is missing, and how tables, texts and figures say so."""

import copy

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.image import imread

from latentgen import figures, grid, incomplete, tables
from latentgen.caption import Caption
from latentgen.figures.page import Drawing, Panel, Row, compose, style
from repository import ROOT

SMOKE = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
CELL = "results/runs/digits/mlp_small/uniform-0.6/data0-1-model0"
ALL = ["edit", "geometry", "gradients", "history", "embeddings", "probes", "relabel", "rewind", "transfer"]


@pytest.fixture(scope="module")
def smoke():
    return grid.load(SMOKE)


@pytest.fixture(scope="module")
def files(smoke):
    """All files that the smoke grid leaves and this asks for, by hand."""
    found = {"results/data/digits/meta.json"}
    for cell in smoke.cells:
        found |= {f"{cell.path}/{name}" for name in ("labels.parquet", "records.parquet", "checkpoints")}
        found |= {f"{cell.path}/checkpoints.json"}
        found |= {path for paths in grid.parts(cell).values() for path in paths}
    return found


def test_the_parts_of_a_cell_are_the_files_that_the_layout_names(smoke):
    cell = smoke.cell("digits", "mlp_small", "uniform", "0.6", "data0-1-model0")
    blocks = ["0000-0003", "0004-0007"]
    assert grid.parts(cell) == {
        "history": [f"{CELL}/history.parquet"],
        "probes": [f"{CELL}/probes/all/{block}.parquet" for block in blocks],
        "geometry": [f"{CELL}/geometry/{block}.parquet" for block in blocks],
        "gradients": [f"{CELL}/gradients/{block}.parquet" for block in blocks],
        "embeddings": [f"{CELL}/embeddings.parquet"],
        "transfer": [f"{CELL}/transfer/{block}.parquet" for block in blocks],
        "edit": [f"{CELL}/edit/epoch-0001.parquet"],
        "relabel": [f"{CELL}/relabel.parquet"],
        "rewind": [f"{CELL}/rewind.parquet"],
    }
    cnn = smoke.cell("digits", "cnn_small", "uniform", "0.6", "data0-model0")
    assert set(grid.parts(cnn)) == {"history", "probes"}


def test_nothing_is_missing_where_all_is_there(smoke, files):
    there, missing = grid.present(smoke, files.__contains__)
    assert missing == {} and there.cells == smoke.cells


@pytest.mark.parametrize(
    "lost,tables_without",
    [
        ("labels.parquet", ALL),
        ("history.parquet", ALL),
        ("records.parquet", ALL),
        ("checkpoints.json", ALL),
        ("checkpoints", ALL),
        ("probes/all/0004-0007.parquet", ALL),
        ("geometry/0000-0003.parquet", ["geometry"]),
        ("gradients/0004-0007.parquet", ["gradients"]),
        ("embeddings.parquet", ["embeddings"]),
        ("transfer/0004-0007.parquet", ["transfer"]),
        ("edit/epoch-0001.parquet", ["edit"]),
        ("relabel.parquet", ["relabel"]),
        ("rewind.parquet", ["rewind"]),
    ],
)
def test_a_file_that_is_missing_takes_a_cell_or_an_analysis_of_it_away(smoke, files, lost, tables_without):
    there, missing = grid.present(smoke, lambda path: path in files and path != f"{CELL}/{lost}")
    assert set(missing) == set(tables_without)
    runs = [f"digits/mlp_small/uniform-0.6/data{seed}-model0" for seed in (0, 1)]
    assert all(lacks["runs"] == runs for lacks in missing.values())
    of = {"history": 13, "probes": 13, "transfer": 6}  # two runs in each cell but the CNN's one
    assert all(lacks["of"] == of.get(table, 4) for table, lacks in missing.items())
    gathered = {table: {path for cell in there.cells for path in grid.parts(cell).get(table, [])} for table in ALL}
    for table, paths in gathered.items():
        assert not any(path.startswith(f"{CELL}/") for path in paths) or table not in tables_without
        assert any(path.startswith(CELL.replace("0.6", "0.0")) for path in paths)
    # What jobs of the cell are told is the same as ever.
    assert smoke.cell("digits", "mlp_small", "uniform", "0.6", "data0-1-model0").settings["geometry"] is not None


def test_a_data_set_that_is_missing_takes_all_its_cells_away(smoke, files):
    there, missing = grid.present(smoke, lambda path: path in files and "data/digits" not in path)
    assert there.cells == [] and len(missing["history"]["runs"]) == missing["history"]["of"] == 13


@pytest.mark.parametrize("given,taken", [(True, True), ("true", True), (False, False), ("false", False), (None, False)])
def test_the_key_is_taken_from_a_file_and_from_a_command_line(given, taken):
    config = copy.deepcopy(SMOKE) | ({} if given is None else {"partial_results": given})
    assert grid.load(config).config["partial_results"] is taken


@pytest.mark.parametrize("given", ["yes", 1, 0, "True "])
def test_other_words_for_the_key_are_refused(given):
    with pytest.raises(grid.ConfigError, match="partial_results"):
        grid.load(SMOKE | {"partial_results": given})


@pytest.fixture
def gathered(tmp_path):
    """Gathers a table that says what it lacks; returns its path."""

    def gather(name, lacks):
        tables.write(tables.HISTORY.empty_table(), tmp_path / "part.parquet")
        path = tmp_path / f"{name}.parquet"
        tables.concatenate([tmp_path / "part.parquet"], tables.HISTORY, path, incomplete.metadata(lacks))
        return path

    return gather


def test_a_table_says_what_it_lacks_and_is_read_as_ever(gathered):
    whole = gathered("history", None)
    history = gathered("history of a part", {"of": 12, "runs": ["a", "b"]})
    geometry = gathered("geometry", {"of": 4, "runs": ["b", "c"]})
    assert incomplete.missing([whole]) == ([], 0)
    assert incomplete.missing([whole, history, geometry]) == (["a", "b", "c"], 12)
    assert list(tables.read(history)) == tables.HISTORY.names
    assert pd.read_parquet(history).equals(pd.read_parquet(whole))


@pytest.mark.parametrize(
    "runs,sentence,heading",
    [
        ([], "", ""),
        (["a"], "PARTIAL RESULTS: 1 of 12 runs is missing: a.", "PARTIAL RESULTS: 1 of 12 runs is missing:\n  a\n\n"),
        (
            ["a", "b", "c", "d", "e"],
            "PARTIAL RESULTS: 5 of 12 runs are missing: a, b, c and 2 more.",
            "PARTIAL RESULTS: 5 of 12 runs are missing:\n  a\n  b\n  c\n  d\n  e\n\n",
        ),
    ],
)
def test_what_is_missing_in_words(runs, sentence, heading):
    assert incomplete.sentence(runs, 12) == sentence
    assert incomplete.heading(runs, 12) == heading


def test_a_note_stands_over_each_page_and_first_in_the_caption(tmp_path):
    note = "PARTIAL RESULTS: 2 of 12 runs are missing: " + ", ".join(["a/b/c"] * 30) + "."
    caption = Caption(shown=("A line.",), caveats=("It is straight.",))

    def save(name, *note):
        rows = [Row([Panel(lambda ax: ax.plot([0, 1]), "level 0", "epoch")], 5.0, "value", "a heading") for _ in "ab"]
        with style.look():
            drawing = Drawing(compose(rows), pd.DataFrame({"value": [1.0]}), caption, "Figure 0. A line")
        figures.save(drawing, tmp_path / name, *note)
        return drawing.pages, 255 * imread(tmp_path / f"{name}.png")[..., :3], (tmp_path / f"{name}.md").read_text()

    pages, plain, text = save("plain")
    noted_pages, noted, noted_text = save("noted", note)
    assert [ax.get_title(loc="left") for page in pages for ax in page.axes] == [
        "\n(a)  level 0",
        "\n(b)  level 0",
    ]
    assert noted_text == text.replace("A line.\n", f"**{note}**\n\nA line.\n") and text.count("A line.\n") == 1
    assert noted.shape == plain.shape and (tmp_path / "noted.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    red, none = (np.abs(picture - (160, 0, 0)).max(axis=-1) < 60 for picture in (noted, plain))
    assert not none.any()
    top = 0
    for page in noted_pages:
        (found,) = (text for text in page.texts if "PARTIAL" in text.get_text())
        assert found.get_text().split() == note.split() and found.get_text().count("\n") > 1
        assert found.get_fontsize() >= 7
        extent, box = found.get_window_extent(), page.bbox
        assert box.x0 <= extent.x0 and extent.x1 <= box.x1 and extent.y1 <= box.y1
        assert all(extent.y0 > ax.get_tightbbox().y1 for ax in page.axes)
        # So it is in the picture, which has another resolution, too.
        height = round(200 * page.get_figheight())
        rows, columns = np.nonzero(red[top : top + height])
        assert rows.min() > 2 and rows.max() < height * (1 - extent.y0 / box.height)
        assert columns.min() > 2 and columns.max() < red.shape[1] - 2
        top += height
    for suffix in ("pdf", "svg", "parquet"):
        assert (tmp_path / f"noted.{suffix}").stat().st_size > 0
