"""The scoreboard in words."""

import pandas as pd

from latentgen.published.comparison import MISSING, VERDICTS
from latentgen.published.values import SOURCES

_WORDS = {
    "model_final": "network, end",
    "model_best_epoch": "network, best epoch*",
    "epochs_to_fit": "epochs to 100 % training accuracy",
    "probe_final": "{probe} on {layer}, end",
    "probe_final_best_layer": "{probe}, best layer*, end",
    "probe_initial_best_layer": "{probe}, best layer*, untrained",
    "probe_best_epoch": "{probe} on {layer}, best epoch*",
    "probe_at_epoch": "{probe} on {layer}, epoch {epoch}",
}


def scoreboard_text(frame: pd.DataFrame) -> str:
    """`latentgen.published.scoreboard` as plain ASCII text: counts of the verdicts, then a line per value we have."""
    counts = frame["verdict"].value_counts()
    lines = [f"{len(frame)} published values"]
    lines += [f"{counts[verdict]:5d}  {verdict}" for verdict in VERDICTS if verdict in counts]
    blocks = frame.assign(model=frame["model"].fillna("any model"))
    for (source, dataset, model), block in blocks.groupby(["source", "dataset", "model"], sort=False):
        found = block[block["verdict"] != MISSING]
        title = f"{dataset} / {model} ({source})"
        if found.empty:
            lines += ["", f"{title}: none of {len(block)} values is in this grid"]
            continue
        missing = len(block) - len(found)
        lines += ["", title + (f": {missing} of {len(block)} values are not in this grid" if missing else "")]
        rows = [["level", "", "published", "ours", "runs", "difference", "verdict"]]
        rows += [_row(row) for row in found.itertuples()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [
        "",
        "Test accuracy in %, or epochs. Ours: mean over the runs of the published draw of labels, +/- 95 % Student t.",
        "Difference: ours - published, +/- 95 % Student t if the published mean varies as our runs do.",
        "* oracle: the epoch or layer was chosen on test data. In brackets: layer or (mean) epoch.",
        "The recipes of our runs are not checked; the published ones are in config/ketha2026/.",
        *(f"{source}: {title}" for source, title in SOURCES.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(row) -> list[str]:
    what = _WORDS[row.quantity].format(probe=row.probe, layer=row.layer, epoch=row.epoch)
    published = f"{row.value:.{row.digits}f}"
    own = ""
    if row.quantity.endswith("best_layer"):
        published, own = published + _bracketed(row.layer), _bracketed(row.ours_layer)
    elif row.quantity != "probe_at_epoch" and pd.notna(row.epoch):
        published, own = published + _bracketed(row.epoch), _bracketed(f"{row.ours_epoch:.0f}")
    ours = "-" if pd.isna(row.ours) else f"{row.ours:.{row.digits}f}{_half(row.ours, row.ours_high, row.digits)}{own}"
    difference = "-"
    if pd.notna(row.difference):
        difference = f"{row.difference:+.{row.digits}f}{_half(row.difference, row.difference_high, row.digits)}"
    return [f"{row.level:g}", what, published, ours, str(row.ours_n), difference, row.verdict]


def _bracketed(chosen) -> str:
    return "" if pd.isna(chosen) else f" ({chosen})"


def _half(middle: float, high: float, digits: int) -> str:
    return "" if pd.isna(high) else f"+/-{high - middle:.{digits}f}"
