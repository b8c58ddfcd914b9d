"""What all figures share: fonts, colours, lines, and the axis of epochs."""

import contextlib
from collections.abc import Iterator, Sequence

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

#: The only font size, in points.
FONT_SIZE = 7.0

#: Type 42 embeds TrueType outlines, which journals ask for; DejaVu Sans ships with Matplotlib, so every
#: machine has it.
RC = sns.axes_style("ticks") | {
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "legend.fontsize": FONT_SIZE,
    "legend.title_fontsize": FONT_SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "latentgen",
    "axes.titlelocation": "left",
    "axes.titlepad": 3.0,
    "axes.labelpad": 2.0,
    "legend.frameon": False,
    "legend.handlelength": 2.0,
    "legend.labelspacing": 0.3,
    "legend.columnspacing": 1.2,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
}

#: The network itself, on test examples, in every figure.
NETWORK = {"color": "black", "linestyle": (0, (1, 1.2)), "linewidth": 1.2, "zorder": 3}

#: A line, where its look says nothing else, and markers without lines.
LINE = {"linewidth": 0.9, "zorder": 2, "markersize": 2.6, "markeredgewidth": 0}

_MARKERS = "osD^vP*X<>"

#: A line that values are read against: chance, or no difference.
REFERENCE = {"color": "0.6", "linewidth": 0.6, "zorder": 1}

#: Line styles that stay apart in grey where colours come close.
DASHED, DASH_DOT, _LONG = (0, (3, 1.2)), (0, (4, 1.2, 1, 1.2)), (0, (6, 1.2))
_LINES = ("-", DASHED, DASH_DOT, _LONG)


@contextlib.contextmanager
def look() -> Iterator[None]:
    """Matplotlib's own defaults and `RC`, whatever the user's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def layer_styles(layers: Sequence[str]) -> dict[str, dict]:
    """Colour and marker of each layer, given in order of depth.

    Viridis, dark to light with depth, is ordered for every kind of colour vision and in grey; its lightest
    fifth is left out, which white paper would swallow. The markers tell neighbours apart once more.
    """
    colours = sns.color_palette("viridis", as_cmap=True)(np.linspace(0.0, 0.8, max(len(layers), 2)))
    return {
        layer: {"color": mpl.colors.to_hex(colour), "marker": _MARKERS[i % len(_MARKERS)]}
        for i, (layer, colour) in enumerate(zip(layers, colours, strict=False))
    }


def series_style(turn: int) -> dict:
    """Colour, marker and line style of the line number ``turn`` of those that have no order.

    The colours are seaborn's for colour-blind readers; neighbours also differ in marker and line style.
    """
    colours = sns.color_palette("colorblind")
    return {
        "color": mpl.colors.to_hex(colours[turn % len(colours)]),
        "marker": _MARKERS[turn % len(_MARKERS)],
        "linestyle": _LINES[turn % len(_LINES)],
    }


def hollow(look: dict) -> dict:
    """``look`` dashed and with hollow markers: the second of two lines that belong together."""
    return {**look, "linestyle": DASHED, "markerfacecolor": "white", "markeredgewidth": 0.6}


def epoch_axis(ax: Axes, last: int) -> None:
    """Epochs 0 to ``last``: linear from 0 to 1, logarithmic from there on.

    Generalization comes within a few epochs and memorisation tens to hundreds later; a linear axis shows only
    the second, a logarithmic one loses epoch 0, the initialisation.
    """
    ax.set_xscale("symlog", linthresh=1, linscale=0.45)
    ax.set_xlim(-0.2, max(last, 1) * 1.15)
    decades = [10**k for k in range(1 + int(np.log10(max(last, 1))))]
    # Below one decade there is room for, and need of, ticks in between.
    ticks = [0, *decades] if last >= 20 else [t for t in (0, 1, 2, 5, 10) if t <= max(last, 1)]
    # The last epoch gets its number where it is well beyond the last power of ten.
    if last > 4 * ticks[-1]:
        ticks.append(last)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    minor = [m * d for d in decades for m in range(2, 10) if m * d <= last and m * d not in ticks]
    ax.xaxis.set_minor_locator(FixedLocator(minor) if minor else NullLocator())
    ax.tick_params(axis="x", which="minor", length=1.4, width=0.4)


def marked(ax: Axes, epochs: np.ndarray, turn: int, of: int, per_line: int = 4) -> list[int]:
    """Positions in ``epochs`` to put markers at: the first, and about ``per_line`` more, even along the axis.

    Line ``turn`` of ``of`` gets its own offset, so that the markers of neighbouring lines do not hide one
    another.
    """
    along = ax.xaxis.get_transform().transform(epochs.astype(float))
    offset = (turn + 1) / (of + 1)
    targets = along[0] + (along[-1] - along[0]) * (np.arange(per_line) + offset) / per_line
    return sorted({0, *(int(np.abs(along - target).argmin()) for target in targets)})
