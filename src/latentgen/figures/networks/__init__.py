"""Figures of networks: training curves, dropout, width."""

from latentgen.caption import Caption
from latentgen.figure import Figure
from latentgen.numbers import models
from latentgen.papers import STEPHENSON

FIGURES = (
    Figure(
        12,
        "Training curves",
        Caption(
            shown=(
                "Accuracy of the networks over the epochs of training: on training examples against the given (noisy) "
                "labels, which they are trained on, and against the true ones, and on test examples.",
                "The solid line counts an epoch's training examples as they are met, before each update. All else is "
                "measured after the epoch, in evaluation mode: training examples at saved epochs only (marks), test "
                "examples at every epoch (dotted).",
            ),
            scored=("Nothing is fitted besides the networks. Test examples are scored against true labels.",),
        ),
        "latentgen.figures.networks.training:draw",
        tables=("history",),
        marks=("bands and bars", "thin lines and ticks"),
        needs="nothing",
    ),
    Figure(
        13,
        "Dropout",
        Caption(
            shown=(
                "Networks of one architecture trained with dropout (dashed, hollow) and without (solid, filled), and "
                "one probe on their last layer, over the epochs of training.",
                "Dropout is off while accuracies are measured and features are read.",
            ),
            scored=(
                "The probe is fitted on the given (noisy) labels of the training examples. Network and probe are "
                "scored on test examples (true labels).",
            ),
            chosen=(
                "The probe is, of all of the grid, that with the highest mean accuracy at the end over the levels and "
                "both models of a row: an oracle choice, made on test data.",
            ),
        ),
        "latentgen.figures.networks.dropout:draw",
        of_grid=lambda cells: bool(models.dropout_pairs(models.models_of(cells))),
        compares_models=True,
        needs="two models that differ in `dropout`",
    ),
    Figure(
        25,
        "Double descent",
        Caption(
            shown=(
                "Networks that differ in width alone, by the number of their trained weights (logarithmic): test "
                "accuracy at each run's last epoch (filled) and at its best one (hollow), training accuracy on the "
                "given labels at the end, and, where the grid has geometry, radius and dimension of the class "
                "manifolds of test examples on the last probed layer.",
                "A dip is three networks of increasing size whose middle one ends lowest.",
            ),
            scored=(
                "Networks are trained on the given (noisy) labels. Test accuracy is on test examples (true labels), "
                "training accuracy on the given labels.",
            ),
            chosen=("Best epoch: chosen on test data in each run, among all epochs: an oracle.",),
        ),
        "latentgen.figures.networks.descent:draw",
        tables=("history", "layers"),
        also=("geometry",),
        of_grid=lambda cells: bool(models.sweeps(models.models_of(cells))),
        rows={"geometry": [[("view", "==", "test")]]},
        needs="three models that differ in their width alone",
        counterpart=("Figure 4C-E", STEPHENSON),
        compares_models=True,
    ),
)
