"""Figure 26: which embeddings and epochs are drawn, which points in which colours, and what its caption says."""

from itertools import product

import drawn
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from latentgen import figures, tables
from latentgen.analyses import TABLES
from latentgen.figures.embeddings import scatter
from latentgen.numbers.embeddings import COLUMNS
from latentgen.numbers.results import Results

pytestmark = pytest.mark.slow

EPOCHS = (0, 1, 2, 5, 10, 20, 40)
VIEWS = ["unpermuted", "permuted", "restored"]


def results(
    pairs=(("digits", "mlp"),),
    levels=(0.5,),
    seeds=(0,),
    layers=(("output", 4),),
    methods=("umap",),
    epochs=EPOCHS,
    peak=5,
    n=40,
    classes=10,
):
    """Tables embeddings and history of runs whose test accuracy is highest at the epoch ``peak``."""
    rng = np.random.default_rng(0)
    embedded, measured = [], []
    for (dataset, model), level, seed in product(pairs, levels, seeds):
        run = {"dataset": dataset, "model": model, "noise": "uniform", "level": level}
        run |= {"data_seed": seed, "model_seed": 0, "entry": "x"}
        index = np.sort(rng.choice(10 * n, n, replace=False))
        true = rng.integers(classes, size=n)
        true[0] = classes - 1
        wrong = rng.random(n) < (0.5 if level else 0)
        given = np.where(wrong, (true + rng.integers(1, classes, size=n)) % classes, true)
        for epoch, (layer, depth), method in product(epochs, layers, methods):
            points = rng.normal(size=(n, 2)) * [1 + epoch, 2] + [3, epoch]
            row = {**run, "epoch": epoch, "layer": layer, "depth": depth, "method": method, "index": index}
            row |= {"true_label": true, "given_label": given, "x": points[:, 0], "y": points[:, 1]}
            embedded.append(pd.DataFrame({**row, "trustworthiness": 0.9 + 0.001 * epoch}))
        # What is no test accuracy of the evaluated network must not choose.
        for epoch, (metric, split) in product(range(epochs[-1] + 1), (("accuracy", "test"), ("loss", "train"))):
            value = -abs(epoch - peak) if metric == "accuracy" else epoch
            row = {**run, "epoch": epoch, "split": split, "labels": "true", "mode": "evaluated", "metric": metric}
            measured.append({**row, "value": float(value), "n": 100})
    history = pd.DataFrame(measured)[tables.HISTORY.names]
    return Results.of(
        {"embeddings": pd.concat(embedded, ignore_index=True)[TABLES["embeddings"].schema.names], "history": history}
    )


def blocks(table):
    return list(table[["model", "level", "data_seed", "layer", "method"]].drop_duplicates().itertuples(index=False))


def beside(ax):
    """What stands to the left of a row of panels."""
    return [text.get_text() for text in ax.texts if text.get_ha() == "right"]


def headed(sheet):
    return [ax for ax in sheet.axes if drawn.heading(ax)]


def inside(ax):
    return [text.get_text() for text in ax.texts if text.get_ha() == "center"]


def scattered(collection):
    """{(x, y): colour} of the points of a scatter."""
    colours = [to_hex(colour) for colour in collection.get_facecolors()]
    offsets = [tuple(map(float, offset)) for offset in collection.get_offsets()]
    if len(colours) == 1:
        colours *= len(offsets)
    return dict(zip(offsets, colours, strict=True))


# ---- which embeddings, which epochs ----


@pytest.mark.parametrize(
    "levels, drawn_level", [((0.0, 0.4, 0.8, 1.0), 0.8), ((0.0,), 0.0), ((0.0, 1.0), 1.0), ((1.0,), 1.0)]
)
def test_one_level_and_one_run_stand_for_a_model(levels, drawn_level):
    sheet, table = drawn.draw("fig26", results(levels=levels, seeds=(3, 1, 2)))
    assert blocks(table) == [("mlp", drawn_level, 1, "output", "umap")]
    assert "of several runs there the first" in sheet.caption and "data seed 1, model seed 0" in sheet.caption


def test_of_many_maps_every_model_comes_before_deep_layers_and_layers_before_methods():
    pairs, layers, methods = [("digits", "mlp"), ("digits", "cnn")], [("fc1", 1), ("output", 4)], ["tsne", "pca"]
    sheet, table = drawn.draw("fig26", results(pairs, layers=layers, methods=methods))
    expected = [(model, 0.5, 0, layer, "pca") for model in ("mlp", "cnn") for layer in ("fc1", "output")]
    assert blocks(table) == expected
    assert "Embeddings of 4 more layers, methods or models" in sheet.caption
    named = [f"digits, {block.model}\nuniform noise, level 0.5\nPCA of {block.layer}" for block in blocks(table)]
    assert [drawn.heading(ax).partition(", n\xa0=")[0] for ax in headed(sheet)] == named
    assert [len(row) for row in drawn.rows(sheet)] == [6] * 6
    three = [("fc1", 1), ("fc2", 2), ("output", 4)]
    table = figures.draw("fig26", results(pairs, layers=three)).table
    assert [block[3] for block in blocks(table)] == ["fc2", "output"] * 2
    sheet, table = drawn.draw("fig26", results(layers=layers, methods=methods))
    assert [block[3:] for block in blocks(table)] == list(product(["fc1", "output"], ["pca", "tsne"]))
    assert "would not fit" not in sheet.caption


def test_epochs_are_the_first_the_best_the_last_and_others_even_along_the_logarithm():
    sheet, table = drawn.draw("fig26", results(epochs=range(101), peak=10, n=10))
    # ln 3 from epoch 0 and from epoch 10, the farthest that epochs between can be.
    found = table.drop_duplicates("epoch").set_index("epoch")["at"].to_dict()
    assert found == {0: "first", 2: "between", 10: "best", 32: "between", 100: "last"}
    labels = [beside(ax) for row in drawn.rows(sheet) for ax in row]
    assert labels[1::3] == labels[2::3] == [[]] * 5
    assert [label for (label,) in labels[::3]] == [
        *["epoch 0\nT = 0.90", "epoch 2\nT = 0.90", "epoch 10\nbest\nT = 0.91", "epoch 32\nT = 0.93"],
        "epoch 100\nlast\nT = 1.00",
    ]


@pytest.mark.parametrize(
    "epochs, peak, expected",
    [
        ((0, 4, 30), 30, {0: "first", 4: "between", 30: "best, last"}),
        ((0, 4, 30), 0, {0: "best, first", 4: "between", 30: "last"}),
        ((0, 4, 30), 5, {0: "first", 4: "best", 30: "last"}),  # the best of those that have embeddings
        ((7,), 7, {7: "best, last"}),
    ],
)
def test_few_epochs_are_all_drawn(epochs, peak, expected):
    sheet, table = drawn.draw("fig26", results(epochs=epochs, peak=peak))
    assert table.drop_duplicates("epoch").set_index("epoch")["at"].to_dict() == expected
    assert len(sheet.axes) == 3 * len(epochs)


def test_of_equal_accuracies_the_earliest_epoch_is_best():
    given = results()
    table = figures.draw("fig26", given.replaced(history=given.history.assign(value=0.5))).table
    assert "best" in table.loc[table["epoch"] == 0, "at"].iloc[0]


# ---- what is drawn ----


def test_panels_show_the_points_of_their_view_in_the_colours_of_its_labels():
    given = results()
    sheet, table = drawn.draw("fig26", given)
    (page,) = sheet.pages
    named = zip(page.legends[0].get_texts()[1:], page.legends[0].legend_handles[1:], strict=True)
    palette = {int(text.get_text()): to_hex(handle.get_color()) for text, handle in named}
    assert sorted(palette) == list(range(10))
    epochs = sorted(table["epoch"].unique())
    assert len(epochs) == 5
    for epoch, row in zip(epochs, drawn.rows(sheet), strict=True):
        points = drawn.chosen(given.embeddings, epoch=epoch)
        wrong = points["true_label"] != points["given_label"]
        for ax, view in zip(row, VIEWS, strict=True):
            shown = points[wrong == (view != "unpermuted")]
            label = "true_label" if view == "restored" else "given_label"
            others, coloured = (scattered(collection) for collection in ax.collections)
            expected = {(p.x, p.y): palette[getattr(p, label)] for p in shown.itertuples()}
            assert coloured == expected
            assert set(others) == {(p.x, p.y) for p in points.drop(shown.index).itertuples()}
            assert not set(others.values()) & set(palette.values())
            assert drawn.title(ax) == (view if epoch == 0 else "")
    heading = f"digits, mlp\nuniform noise, level 0.5\nUMAP of output, n = 40, {wrong.sum()} mislabelled"
    assert [drawn.heading(ax).replace("\xa0", " ") for ax in headed(sheet)] == [heading]
    assert "n counts the examples of an embedding, which is of one run (data seed 0, model seed 0)" in sheet.caption


def test_the_table_holds_what_is_drawn():
    given = results(seeds=(0, 1))
    table = figures.draw("fig26", given).table
    assert list(table.columns) == ["dataset", "model", "noise", "level", *COLUMNS]
    source = drawn.chosen(given.embeddings, data_seed=0)
    source = source[source["epoch"].isin(table["epoch"])].sort_values(["epoch", "index"])
    shared = [name for name in source if name != "entry"]
    pd.testing.assert_frame_equal(table[shared], source[shared].reset_index(drop=True))
    assert set(table["n"]) == {40}
    first = table[table["epoch"] == 0]
    assert set(table["n_mislabelled"]) == {int((first["true_label"] != first["given_label"]).sum())}


def test_panels_of_a_row_have_limits_that_hold_all_points_at_one_scale():
    sheet, table = drawn.draw("fig26", results())
    drawn.laid_out(sheet.pages[0])
    for epoch, row in zip(sorted(table["epoch"].unique()), drawn.rows(sheet), strict=True):
        points = table[table["epoch"] == epoch]
        assert len({(ax.get_xlim(), ax.get_ylim()) for ax in row}) == 1
        for name, limits in (("x", row[0].get_xlim()), ("y", row[0].get_ylim())):
            assert limits[0] < points[name].min() and points[name].max() < limits[1]
        for ax in row:
            assert ax.get_aspect() == 1
            ax.apply_aspect()
            box = ax.get_window_extent()
            assert box.width == pytest.approx(box.height)


def test_a_map_that_is_null_says_so():
    given = results()
    table = given.embeddings.copy()
    table.loc[table["epoch"] == 0, ["x", "y", "trustworthiness"]] = np.nan
    sheet, points = drawn.draw("fig26", given.replaced(embeddings=table))
    top, *others = drawn.rows(sheet)
    assert [inside(ax) for ax in top] == [["undefined"]] * 3 and not any(ax.collections for ax in top)
    assert beside(top[0]) == ["epoch 0"]
    assert not any(inside(ax) for row in others for ax in row)
    assert "Undefined: all examples are equal" in sheet.caption
    assert points.loc[points["epoch"] == 0, "x"].isna().all()
    assert "Undefined" not in drawn.draw("fig26", given)[0].caption


def test_ten_classes_have_colours_for_every_reader_and_many_have_no_legend():
    ten = scatter._colours(10)
    assert len(set(ten)) == 10
    for colour in ten:  # the grey of the others is apart from all
        assert np.abs(np.subtract(to_rgb(colour), float(scatter._OTHERS["color"]))).max() > 0.2
    assert len(set(scatter._colours(100))) == 100
    ((_, labels),) = drawn.legends(drawn.draw("fig26", results(classes=20))[0])
    assert labels == ["class", *map(str, range(20))]
    sheet, _ = drawn.draw("fig26", results(classes=21))
    assert drawn.legends(sheet) == []
    assert "21 classes, too many to tell apart" in sheet.caption


# ---- what the caption says ----


def test_the_caption_states_what_was_done():
    text = drawn.draw("fig26", results(methods=("umap", "pca", "tsne")))[0].caption
    for phrase in [
        *["Training examples as one layer has them", "n counts the examples of an embedding, which is of one run"],
        *["without interval", "labels have no part", "half are mislabelled"],
        *["unpermuted, examples whose given label is the true one, by that label"],
        *["permuted, mislabelled examples, by the given label", "restored, the same ones, by the true label"],
        *["highest test accuracy of the network among epochs with embeddings: an oracle"],
        *["UMAP (umap-learn, 15 neighbours, least distance 0.1)", "PCA (first two components)"],
        *["t-SNE (scikit-learn, perplexity 30)", "UMAP and t-SNE: started", "distances between them mean little"],
        *["no unit", "T: trustworthiness among 15 neighbours", "Embeddings are fitted on activations alone"],
    ]:
        assert phrase in text
    text = drawn.draw("fig26", results(methods=("pca",)))[0].caption
    assert "UMAP" not in text and "mean little" not in text and "several runs" not in text


@pytest.mark.parametrize("layers, classes", [(1, 10), (1, 20), (2, 2), (2, 20), (3, 10), (5, 100)])
def test_nothing_overlaps_and_the_page_holds_it(layers, classes):
    named = [(f"layer{depth}", depth) for depth in range(layers)]
    pairs = [("cifar10-jpeg-10k", "vgg16-bn-16-dropout")]
    sheet, table = drawn.draw("fig26", results(pairs, layers=named, classes=classes, epochs=(0, 1, 9, 99, 1000)))
    assert drawn.overlaps(sheet) == []
    (page,) = sheet.pages
    width, height = page.get_size_inches()
    assert width <= 7 + 1e-9 and height <= 9 + 1e-9
    assert min(text.get_fontsize() for text in sheet.findobj(match=lambda a: hasattr(a, "get_fontsize"))) >= 7
    # What stands to the left of a row of panels is clear of the panels before it.
    panels = [ax.get_window_extent() for ax in sheet.axes]
    labels = [text.get_window_extent() for ax in sheet.axes for text in ax.texts if text.get_ha() == "right"]
    assert len(labels) == len(table[["layer", "method", "epoch"]].drop_duplicates())
    assert not any(
        min(a.x1, b.x1) > max(a.x0, b.x0) and min(a.y1, b.y1) > max(a.y0, b.y0) for a in panels for b in labels
    )
    assert min(box.width for box in panels) > 0.85 * page.dpi


# ---- what a reader chooses ----


def test_a_reader_chooses_layers_and_levels():
    layers, levels = [("fc1", 1), ("fc2", 2), ("output", 4)], (0.2, 0.6)
    given = results(layers=layers, levels=levels)
    assert blocks(figures.draw("fig26", given).table) == [("mlp", 0.6, 0, name, "umap") for name, _ in layers]
    sheet, table = drawn.draw("fig26", given, layers=["fc2"], levels=[0.2])
    assert blocks(table) == [("mlp", 0.2, 0, "fc2", "umap")]
    # Alone, a layer has room for five epochs.
    assert table["epoch"].nunique() == 5 and len(sheet.axes) == 15 and drawn.overlaps(sheet) == []
    with pytest.raises(ValueError, match="no layer 'fc9'; there are fc1, fc2, output"):
        figures.draw("fig26", given, layers=["fc9"])
    with pytest.raises(ValueError, match=r"no level 0\.3; there are 0\.2, 0\.6"):
        figures.draw("fig26", given, levels=[0.3])


def test_a_reader_chooses_the_colour_of_a_class():
    before, points = drawn.draw("fig26", results())
    sheet, table = drawn.draw("fig26", results(), colours={"3": "#123456"})
    pd.testing.assert_frame_equal(table, points)
    own = scatter._colours(10)[3]
    for ax, old in zip(sheet.axes, before.axes, strict=True):
        for found, known in zip(ax.collections, old.collections, strict=True):
            wanted = {place: "#123456" if colour == own else colour for place, colour in scattered(known).items()}
            assert scattered(found) == wanted
    (legend,) = sheet.pages[0].legends
    handles = {handle.get_label(): handle.get_color() for handle in legend.legend_handles}
    assert handles["3"] == "#123456" and handles["4"] == scatter._colours(10)[4]
    with pytest.raises(ValueError, match="no line '10'; there are 0, 1, 2"):
        figures.draw("fig26", results(), colours={"10": "red"})


# ---- its files ----


def test_equal_figures_give_equal_bytes(tmp_path):
    for name in ("one", "other"):
        figures.save(figures.draw("fig26", results(epochs=(0,), peak=0)), tmp_path / name)
    for suffix in ("pdf", "png", "svg", "parquet", "csv", "md"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"other.{suffix}").read_bytes()


# ---- what is refused ----


def test_missing_tables_are_named():
    given = results()
    with pytest.raises(ValueError, match="embeddings table holds no embedding; .* 'embeddings'"):
        figures.draw("fig26", Results.of({"history": given.history}))
    other = given.history.assign(model="cnn")
    with pytest.raises(ValueError, match="history table holds no test accuracy"):
        figures.draw("fig26", Results.of({"embeddings": given.embeddings, "history": other}))
