"""What stands beside a figure, in sentences, in the same order everywhere."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Caption:
    """Sentences about a figure; ``+`` puts those of two together.

    They are in the part of Markdown that reStructuredText shares: plain text, ``**bold**`` and ``*italic*``.

    Parameters
    ----------
    shown : what is shown, and how lines, marks and panels are read
    scored : what was fitted on which labels, and scored on which
    seeds : *n*, and intervals
    chosen : what was chosen, on which examples; an oracle is called so
    caveats : what a reader should know before using the numbers, the weightiest first
    counterpart : figure or experiment of a paper
    """

    shown: tuple[str, ...] = ()
    scored: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    counterpart: tuple[str, ...] = ()

    def __add__(self, found: "Caption") -> "Caption":
        """What always holds, then ``found``, what holds of some numbers; of caveats those weigh more."""
        both = {part.name: (*getattr(self, part.name), *getattr(found, part.name)) for part in fields(self)}
        return Caption(**{**both, "caveats": (*found.caveats, *self.caveats)})

    def text(self) -> str:
        """Paragraphs, without a heading."""
        paragraphs = [" ".join(self.shown)]
        for name, part in _PARTS.items():
            if sentences := getattr(self, part):
                paragraphs.append(f"**{name}.** {' '.join(sentences)}")
        if self.caveats:
            numbered = "\n".join(f"{place}. {caveat}" for place, caveat in enumerate(self.caveats, start=1))
            paragraphs.append(f"**Caveats**, the weightiest first:\n\n{numbered}")
        if self.counterpart:
            paragraphs.append(f"**Counterpart.** {' '.join(self.counterpart)}.")
        return "\n\n".join(paragraphs) + "\n"

    def markdown(self, title: str, note: str = "") -> str:
        """A page with a heading; ``note`` is a warning that comes first."""
        return "\n\n".join(filter(None, [f"# {title}", note and f"**{note}**", self.text()]))


def restructured(page: str) -> str:
    """What `Caption.markdown` wrote, without its heading, as reStructuredText."""
    _, _, text = page.partition("\n")
    for letter in "\\`_|":
        text = text.replace(letter, f"\\{letter}")
    return text.strip()


#: What paragraphs are called → part of the caption.
_PARTS = {"Fitted and scored": "scored", "n and intervals": "seeds", "Chosen": "chosen"}
