"""Embeddings as an analysis, with its settings and what is fixed of each method. Imports nothing that computes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from latentgen.activations import OUTPUT
from latentgen.analysis import Analysis, Cost
from latentgen.columns import DEPTH, FLOAT, INTEGER, TEXT, Column, Table
from latentgen.keys import NAME, Key, several

METHODS = ("umap", "pca", "tsne")

#: Neighbours of UMAP and of trustworthiness, UMAP's least distance between points, and the perplexity of t-SNE: the
#: defaults of umap-learn and scikit-learn, trustworthiness with as many neighbours as UMAP.
NEIGHBORS, MIN_DISTANCE, PERPLEXITY = 15, 0.1, 30.0

#: Trustworthiness is defined for fewer neighbours than half the examples, t-SNE for a lower perplexity than examples.
FEWEST = 2 * NEIGHBORS + 1
#: Trustworthiness takes the distances of all pairs: 0.8 GB of these.
MOST = 10_000

KEYS = (
    Key("methods", ["umap"], "`umap` (umap-learn), `pca`, `tsne` (scikit-learn)", several({"enum": list(METHODS)})),
    Key(
        "layers",
        [OUTPUT],
        "names of layers, `input` included, `last` (the one that feeds the readout) or `output` (the logits)",
        several(NAME),
    ),
    Key(
        "examples",
        1000,
        "most training examples on an embedding, from 31 to 10,000; half of them mislabelled where there are as many, "
        "else the other kind fills up",
        {"type": "integer", "minimum": 1},
    ),
)

TABLE = Table(
    "embeddings",
    "Two-dimensional embeddings of training examples as one layer has them: one row for each example on an embedding "
    "of the cell's first run.",
    (
        Column("epoch", INTEGER, "checkpoint"),
        Column("layer", TEXT, "layer that is embedded; `output` is the logits"),
        DEPTH,
        Column("method", TEXT, "`umap`, `pca`, `tsne`"),
        Column("index", INTEGER, "the example, as in the labels"),
        Column("true_label", INTEGER, "what is right"),
        Column("given_label", INTEGER, "what training saw"),
        Column(
            "x",
            FLOAT,
            "coordinate, without a unit; rotated, reflected and shifted onto the embedding of the saved epoch before. "
            "Null where all examples of a layer are equal or a value is not finite; the next embedding is then laid "
            "onto the one before",
        ),
        Column("y", FLOAT, "the other coordinate"),
        Column(
            "trustworthiness",
            FLOAT,
            "how far neighbours on the embedding are neighbours in the layer (15 of them), from 0 to 1; of the whole "
            "embedding, repeated",
        ),
    ),
)


def _errors(settings: Mapping[str, Any], *_) -> Iterable[str]:
    if not FEWEST <= settings["examples"] <= MOST:
        yield (
            f".examples: {settings['examples']} are too few for {NEIGHBORS} neighbours, or too many for the distances "
            f"of all pairs; allowed: {FEWEST} to {MOST}"
        )


def _units(_settings: Mapping[str, Any], _runs: int, epochs: Sequence[int], _last: int) -> dict[str, int]:
    return {"fixed": 1, "each": len(epochs)}


EMBEDDINGS = Analysis(
    name="embeddings",
    about="two-dimensional embeddings of a layer at every saved epoch",
    table=TABLE,
    files="embeddings.parquet",
    rows="latentgen.embeddings.cell:embeddings_cell",
    keys=KEYS,
    packages=("embeddings", "activations", "models"),
    methods=lambda settings, _: {"embeddings": settings["methods"]},
    errors=_errors,
    layers=lambda settings: {"layers": settings["layers"]},
    cost=Cost(_units),
)
