"""How figures are written: pages of a PDF, and the same below one another as PNG and SVG."""

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from PIL import Image

from latentgen import tables
from latentgen.figures.page import style
from latentgen.figures.page.drawing import Drawing
from latentgen.files import atomic

#: Pages that a PNG and an SVG show.
SHOWN = 4
#: Dots per inch of a PNG.
_DPI = 200
#: Colour of what a reader must not miss.
_WARNING = "#a00000"

# No creation date, so that equal tables give equal bytes.
_PDF = {"CreationDate": None, "Producer": None, "Creator": "latentgen"}
_SVG = {"Date": None, "Creator": "latentgen"}


def save(drawing: Drawing, stem: str | os.PathLike, note: str = "") -> None:
    """Write the files that `latentgen.figures.save` names."""
    stem, pages = os.fspath(stem), drawing.pages
    with style.look():
        for fig in pages:
            if note:
                warning = _broken(note, 0.96 * fig.get_figwidth())
                fig.suptitle(warning, x=0.01, ha="left", color=_WARNING, size=style.FONT_SIZE)
            _lay_out(fig)
        with atomic(Path(f"{stem}.pdf")) as temporary, PdfPages(temporary, metadata=_PDF) as pdf:
            for fig in pages:
                pdf.savefig(fig)
        with atomic(Path(f"{stem}.png")) as temporary:
            picture = np.vstack([_dots(fig) for fig in pages[:SHOWN]])
            Image.fromarray(picture).save(temporary, format="png", dpi=(_DPI, _DPI))
        with atomic(Path(f"{stem}.svg")) as temporary:
            Path(temporary).write_text(_stacked([_svg(fig) for fig in pages[:SHOWN]]), encoding="utf-8")
    arrow = pa.Table.from_pandas(drawing.table, preserve_index=False).replace_schema_metadata(None)
    tables.write(arrow, Path(f"{stem}.parquet"))
    with atomic(Path(f"{stem}.csv")) as temporary:
        drawing.table.to_csv(temporary, index=False, lineterminator="\n")
    with atomic(Path(f"{stem}.md")) as temporary:
        Path(temporary).write_text(drawing.markdown(note, shown=SHOWN), encoding="utf-8")


def _broken(note: str, inches: float) -> str:
    """``note`` in lines so long, the same in all formats: where Matplotlib breaks lines depends on the resolution."""
    lines = [""]
    for word in note.split():
        longer = f"{lines[-1]} {word}".strip()
        if TextPath((0, 0), longer, size=style.FONT_SIZE).get_extents().width <= 72 * inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(filter(None, lines))


def _lay_out(fig: Figure) -> None:
    """Once, for all formats: it takes as long as drawing does, and an engine that stays costs each format one more."""
    if (engine := fig.get_layout_engine()) is not None:
        engine.execute(fig)
        fig.set_layout_engine(None)
        for ax in fig.axes:
            # The last bits of the solver's answer differ from call to call, and equal tables give equal bytes.
            ax.set_position(np.round(ax.get_position(original=True).bounds, 6))


def _dots(fig: Figure) -> np.ndarray:
    before = fig.dpi
    fig.dpi = _DPI
    fig.canvas.draw()
    dots = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    fig.dpi = before
    return dots


def _svg(fig: Figure) -> str:
    with io.StringIO() as text:
        fig.savefig(text, format="svg", metadata=_SVG)
        return text.getvalue()


def _stacked(pages: Sequence[str]) -> str:
    """One document of several below one another, in points, as Matplotlib writes them."""
    if len(pages) == 1:
        return pages[0]
    inner, widest, tall = [], 0.0, 0.0
    for page in pages:
        size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', page)
        width, height = map(float, size.groups())
        body = page[page.index("<svg") :].replace(size[0], "", 1)
        inner.append(body.replace("<svg", f'<svg y="{tall:g}" width="{width:g}" height="{height:g}"', 1))
        widest, tall = max(widest, width), tall + height
    head = f'<svg width="{widest:g}pt" height="{tall:g}pt" viewBox="0 0 {widest:g} {tall:g}"'
    return f'{pages[0][: pages[0].index("<svg")]}{head} xmlns="http://www.w3.org/2000/svg">\n{"".join(inner)}</svg>\n'
