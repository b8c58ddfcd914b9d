"""An analysis is added by one package, its place in the list, one rule file and its include; a figure by one package
and its place in the list. All else follows."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from snakemake_calls import check_out, environment

from latentgen import tables
from repository import ROOT

pytestmark = pytest.mark.workflow

PACKAGE = {
    "__init__.py": '''
"""Units that are zero on every test example."""

VERSION = 1
''',
    "declaration.py": '''
"""Dead units as an analysis."""

from latentgen.analysis import Analysis
from latentgen.columns import DEPTH, EPOCH, INPUTS, INTEGER, TEXT, VALUE, Column, Table
from latentgen.keys import LAYERS, Key

DEAD_UNITS = Analysis(
    name="dead_units",
    about="units that are zero on every test example, at every saved epoch",
    table=Table(
        "dead_units",
        "Share of the units of one layer that are zero on every test example.",
        (
            EPOCH,
            Column("layer", TEXT, "layer whose units are counted"),
            DEPTH,
            Column("metric", TEXT, "`dead`"),
            VALUE,
            Column("n", INTEGER, "units"),
            INPUTS,
        ),
    ),
    files="dead_units/{block}.parquet",
    rows="latentgen.dead_units.rows:dead_units_block",
    keys=(Key("layers", "all", "layers that are counted: `all`, `last` or a list of names", LAYERS),),
    kept=True,
    packages=("dead_units", "activations", "models"),
)
''',
    "rows.py": '''
"""Rows of dead units."""

from functools import partial

from latentgen import blocks, versions
from latentgen.activations import named_layers
from latentgen.blocks import Piece
from latentgen.dead_units.declaration import DEAD_UNITS


def _pieces(cell, checkpoints, settings):
    known_by = versions.of(DEAD_UNITS, {})
    return {Piece(checkpoint, "dead"): cell.inputs(checkpoint, known_by, settings) for checkpoint in checkpoints}


def _compute(cell, settings, missing):
    source = cell.stream()
    wanted = source.layers if settings["layers"] == "all" else named_layers(settings["layers"], source.layers, "layers")
    for piece in missing:
        source.load(piece.checkpoint)
        alive = {}
        for _, parts in source.chunks("test", wanted):
            for layer, part in parts.items():
                alive[layer] = alive.get(layer, False) | (part != 0).any(0)
        yield {
            piece: [
                {
                    "layer": layer,
                    "depth": source.layers.index(layer),
                    "metric": "dead",
                    "value": 1 - found.double().mean().item(),
                    "n": found.numel(),
                }
                for layer, found in alive.items()
            ]
        }


dead_units_block = partial(blocks.rows, DEAD_UNITS, _pieces, _compute)
''',
}
FIGURE = {
    "__init__.py": '''
"""Figures of dead units."""

from latentgen.caption import Caption
from latentgen.figure import Figure

FIGURES = (
    Figure(
        27,
        "Dead units",
        Caption(shown=("Share of the units of each layer that are zero on every test example.",)),
        "latentgen.figures.dead_units.bars:draw",
        tables=("dead_units",),
        analyses=("dead_units",),
        marks=None,
        needs="`dead_units`",
    ),
)
''',
    "bars.py": '''
"""Figure 27: dead units over the epochs."""

from latentgen.figures.page import Drawing, Panel, Row, compose, facets


def draw(results, reader):
    rows = reader.rows(results.dead_units, "layer")
    table = rows.groupby([*facets.GRID_POINT, "layer", "epoch"], sort=False)["value"].mean().reset_index()
    panels = [
        Panel(lambda ax, part=part: ax.plot(part["epoch"], part["value"], marker="o"), layer, "epoch")
        for layer, part in table.groupby("layer", sort=False)
    ]
    return Drawing(compose([Row(panels, 1.0, "dead units", "digits")]), table)
''',
}
RULE = '''"""Dead units on all layers of a block of checkpoints."""


rule dead_units:
    input:
        **TRAINED,
    output:
        rows("dead_units"),
    log:
        log_of("dead_units"),
    benchmark:
        benchmark_of("dead_units")
    conda:
        "../../envs/latentgen.yaml"
    threads: THREADS
    resources:
        **computing(minutes=60),
    params:
        **params_of("dead_units"),
    script:
        "../scripts/analyse.py"
'''
CONFIG = {
    "device": "cpu",
    "grid": [
        {
            "dataset": "digits",
            "model": "mlp_small",
            "levels": [0.6],
            "saved_epochs": [0, 1],
            "training": {"optimizer": "adam", "learning_rate": 0.005, "batch_size": 64, "epochs": 2},
            "probes": {"nearest": {"kind": "nearest_mean"}},
            "dead_units": {},
        }
    ],
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project with one analysis more."""
    folder = check_out(tmp_path_factory.mktemp("project"))
    for name in ("src", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (folder / "results").mkdir()
    shutil.copy(ROOT / "results" / "README.md", folder / "results")
    package = folder / "src" / "latentgen" / "dead_units"
    package.mkdir()
    for name, text in PACKAGE.items():
        (package / name).write_text(text.lstrip())
    figure = folder / "src" / "latentgen" / "figures" / "dead_units"
    figure.mkdir()
    for name, text in FIGURE.items():
        (figure / name).write_text(text.lstrip())
    subjects = folder / "src" / "latentgen" / "figures" / "catalogue.py"
    changed(subjects, "gradients, embeddings)", "gradients, embeddings, dead_units)")
    changed(
        subjects, "from latentgen.figures import embeddings,", "from latentgen.figures import dead_units, embeddings,"
    )
    (folder / "workflow" / "rules" / "dead_units.smk").write_text(RULE)
    changed(
        folder / "Snakefile",
        'include: "workflow/rules/embeddings.smk"\n',
        '{}include: "workflow/rules/dead_units.smk"\n',
    )
    listed = folder / "src" / "latentgen" / "analyses.py"
    changed(listed, "EMBEDDINGS, ", "{}DEAD_UNITS, ")
    changed(
        listed,
        "from latentgen.geometry.declaration import GEOMETRY\n",
        "from latentgen.dead_units.declaration import DEAD_UNITS\n{}",
    )
    return folder


def changed(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new.format(old)))


def call(copy, *command, **options):
    """Output of a command that imports the copy's library."""
    path = os.pathsep.join([str(copy / "src"), os.environ.get("PYTHONPATH", "")])
    settings = {"env": {**environment(), "PYTHONPATH": path}, "cwd": copy, "text": True, "check": False}
    return subprocess.run(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **settings, **options
    )


def snakemake(copy, config, *arguments):
    (copy / "grid.yaml").write_text(yaml.safe_dump(config))
    return call(copy, "-m", "snakemake", "--configfile", "grid.yaml", "--cores", "2", *arguments)


def test_a_wrong_key_is_refused_with_the_right_ones(copy):
    config = {**CONFIG, "grid": [{**CONFIG["grid"][0], "dead_units": {"layer": "all"}}]}
    done = snakemake(copy, config, "--dry-run")
    assert done.returncode and "grid[0].dead_units.layer: unknown key" in done.stdout and "'layers'" in done.stdout


def test_documents_are_written_from_the_declaration(copy):
    page = copy / "docs" / "tables.md"
    page.write_text(page.read_text() + "\n<!-- table dead_units -->\n<!-- end -->\n")
    page = copy / "docs" / "configuration.md"
    page.write_text(page.read_text() + "\n<!-- keys dead_units -->\n<!-- end -->\n")
    assert call(copy, "docs/write.py").returncode == 0
    assert "| `layer` | text | layer whose units are counted |" in (copy / "docs" / "tables.md").read_text()
    assert "| `layers` | `all` | layers that are counted" in page.read_text()
    assert "| `dead_units` | none | units that are zero" in page.read_text()
    assert "| `dead_units/{block}.parquet` | units that" in (copy / "results" / "README.md").read_text()
    assert "dead_units:" in (copy / "workflow" / "schemas" / "config.schema.yaml").read_text()
    figures = (copy / "docs" / "figures.md").read_text()
    assert "| Dead units | `dead_units` |" in figures and "### Figure 27. Dead units\n\nShare of the units" in figures
    assert "- **Figure 27. Dead units.** Share of" in (copy / "workflow" / "report" / "workflow.rst").read_text()


def test_it_has_a_table_a_figure_and_an_estimate(copy):
    targets = ["results/figures/fig27.pdf", "results/tables/dead_units.parquet", "results/estimate.txt"]
    done = snakemake(copy, CONFIG, "--", *targets)
    assert done.returncode == 0, done.stdout[-6000:]
    rows = tables.read(copy / "results" / "tables" / "dead_units.parquet")
    assert set(rows["layer"]) == {"input", "fc1", "fc2", "fc3"} and set(rows["epoch"]) == {0, 1, 2}
    assert rows["value"].between(0, 1).all() and rows["value"].max() > 0  # some pixels of the digits are always blank
    drawn = tables.read(copy / "results" / "figures" / "fig27.parquet")
    assert len(drawn) == 12
    caption = (copy / "results" / "figures" / "fig27.md").read_text()
    assert caption.startswith("# Figure 27. Dead units\n\nShare of the units of each layer")
    (line,) = [line for line in (copy / "results" / "estimate.txt").read_text().splitlines() if "dead_units" in line]
    assert line.split()[1] == "1" and line.endswith("measured")
    # Rows that are known are kept: nothing is computed again.
    part = "results/runs/digits/mlp_small/uniform-0.6/data0-model0/dead_units/0000-0099.parquet"
    (copy / part).unlink()
    assert snakemake(copy, CONFIG, "--", part).returncode == 0
    log = copy / "results/logs/dead_units/digits/mlp_small/uniform-0.6/data0-model0/0000-0099.log"
    assert "0 of 3 to compute" in log.read_text()
