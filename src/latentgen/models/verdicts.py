"""Verdicts on the networks of a grid, before any of them is trained: one file for a data set. Imports no torch.

A refused network has a verdict like any other, so that those beside it can be trained. Training looks its own up.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentgen import models, noise
from latentgen.models import INPUT, OUTPUT
from latentgen.models.refusal import Refused
from latentgen.spelling import allowed

if TYPE_CHECKING:
    import torch

    from latentgen.datasets import Dataset

#: Raised by hand when a trial asks for something else.
VERSION = 1


def verdicts(asked: Mapping[str, Mapping[str, Any]], dataset: str, data: "Dataset") -> list[dict[str, Any]]:
    """What `latentgen.models.trial.try_network` finds of each model, and what the grid asks of it in vain.

    Parameters
    ----------
    asked : see `latentgen.grid.asked.asked`

    Returns
    -------
    of each model ``name``, ``dataset``, ``factory``, ``in_shape``, ``n_classes``, ``key`` (`network_key`), what
    `try_network` returns, and ``unmet``, a list of what the configuration asks of it that it does not have
    """
    from latentgen.models.again import digests, elsewhere
    from latentgen.models.trial import try_network

    shape = (tuple(data.in_shape), data.n_classes)
    found = []
    for name, wanted in asked.items():
        verdict = {"name": name, "dataset": dataset, "factory": wanted["model"]["factory"]}
        verdict |= {"in_shape": list(data.in_shape), "n_classes": data.n_classes}
        verdict["key"] = network_key(wanted["model"], *shape)
        verdict |= try_network(wanted["model"], *shape)
        found.append(verdict)
    own = {
        verdict["name"]: asked[verdict["name"]]["model"]
        for verdict in found
        if verdict["refused"] is None and verdict["factory"] not in models.FACTORIES
    }
    if own:
        here, there = digests(own, *shape), elsewhere(own, *shape)
        for verdict in found:
            if here.get(verdict["name"]) != there.get(verdict["name"]):
                verdict["refused"] = (
                    "with the same seed, another process makes another network; do not iterate over sets while "
                    "building, and draw everything from torch's own generator"
                )
    for verdict in found:
        verdict["unmet"] = list(_unmet(asked[verdict["name"]], verdict, data)) if verdict["refused"] is None else []
    return found


def network_key(model: Mapping[str, Any], in_shape: tuple[int, int, int], n_classes: int) -> str:
    """Hash of what a network is made of."""
    parts = [VERSION, models.VERSION, dict(model), list(in_shape), n_classes]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _unmet(wanted: Mapping[str, Any], verdict: Mapping[str, Any], data: "Dataset") -> Iterable[str]:
    layers = [INPUT, *(layer["layer"] for layer in verdict["layers"])]
    for key, names in wanted["layers"].items():
        # A readout can be put on a layer, and a probe fitted on one; the logits are none.
        known = [layer for layer in layers if layer != OUTPUT or not key.startswith("interventions.")]
        for name in names:
            if name not in [*known, "last"]:
                yield f"{key}: {name!r} is no layer of it; {allowed(name, [*known, 'last'])}"
    for key in wanted["readout"]:
        if verdict["readout"] is None:
            yield f"{key}: it names no readout; give the network that attribute, or write 'readout' beside 'factory'"
        elif key == "interventions.edit" and verdict["tied"]:
            tied = verdict["tied"]
            yield f"{key}: its readout shares its weight with {tied!r}, which would change too; untie them"
    from latentgen.models.trial import expect_batches

    def made() -> "torch.nn.Module":
        return models.initialised(wanted["model"], data.in_shape, data.n_classes, 0)

    total = len(data.x_train)
    for batch_size, validation in wanted["batches"]:
        try:
            expect_batches(made, data.in_shape, total - noise.n_held_out(total, validation), batch_size)
        except ValueError as error:
            yield str(error)


def read(file: str | os.PathLike) -> list[dict[str, Any]]:
    """Verdicts on the networks of a data set, as `verdicts` made them."""
    return json.loads(Path(file).read_text())


def beside(data_folder: str | os.PathLike) -> Path:
    """File of the verdicts on the networks of a prepared data set."""
    return Path(data_folder).parents[1] / "models" / f"{Path(data_folder).name}.json"


def expect_accepted(file: str | os.PathLike, name: str, model: Mapping[str, Any], data: "Dataset") -> None:
    """Raise `Refused` when the verdict on a network is no; try it now where ``file`` has no verdict on it.

    Parameters
    ----------
    file : verdicts on the networks of a data set, which need not exist
    name, model : of the network, as declared
    """
    key = network_key(model, data.in_shape, data.n_classes)
    known = read(file) if Path(file).exists() else []
    verdict = next((one for one in known if (one["name"], one["key"]) == (name, key)), None)
    if verdict is None:
        from latentgen.models.trial import try_network

        made_for = {"name": name, "factory": model["factory"], "in_shape": data.in_shape, "n_classes": data.n_classes}
        verdict = made_for | try_network(model, tuple(data.in_shape), data.n_classes)
    if verdict["refused"] is not None:
        raise Refused(f"{_title(verdict)}: {verdict['refused']}")


def refusals(known: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for everything that keeps the networks of ``known`` verdicts from what the grid asks of them."""
    lines = []
    for verdict in known:
        found = [] if verdict["refused"] is None else [verdict["refused"]]
        lines += [f"{_title(verdict)}: {line}" for line in [*found, *verdict["unmet"]]]
    return lines


def expect_none_refused(known: Iterable[Mapping[str, Any]]) -> None:
    """Raise `Refused` with all `refusals`, if there are any."""
    if lines := refusals(known):
        raise Refused("\n  ".join(["networks that cannot do what the configuration asks of them:", *lines]))


def listing(known: Iterable[Mapping[str, Any]]) -> str:
    """Verdicts in words: the layers of each network, or what could be layers, ready for the configuration."""
    return "\n".join(line for verdict in known for line in [*_listed(verdict), ""])


def _listed(verdict: Mapping[str, Any]) -> Iterable[str]:
    yield f"{_title(verdict)}, {verdict['dataset']}"
    for line in ([verdict["refused"]] if verdict["refused"] is not None else []) + verdict["unmet"]:
        yield f"  REFUSED: {line}"
    if verdict["layers"] and "parameters" in verdict["layers"][-1]:
        rows = [("layer", "submodule", "shape", "features", "parameters")]
        for layer in verdict["layers"]:
            numbers = (_by(layer["shape"]), f"{layer['features']:,}", f"{layer['parameters']:,}")
            rows.append((layer["layer"], layer["module"] or "(the logits)", *numbers))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            cells = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
            cells += [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
            yield "  " + "  ".join(cells)
        yield f"  readout: {verdict['readout'] or 'none named'}"
    if verdict["candidates"]:
        yield "  submodules that could be layers; keep some of them, in this order, under models in the configuration:"
        yield f"  {verdict['name']}:"
        yield f"    factory: {verdict['factory']}"
        yield "    probed:"
        width = max(len(one["module"]) for one in verdict["candidates"])
        for one in verdict["candidates"]:
            pair = f"{json.dumps(one['module'])}: {json.dumps(one['module'])}"
            yield f"      {pair.ljust(2 * width + 6)}  # {_by(one['shape'])}"
        if verdict["readout"] is not None:
            yield f"    readout: {json.dumps(verdict['readout'])}"


def _title(verdict: Mapping[str, Any]) -> str:
    shape = _by(verdict["in_shape"])
    return f"models.{verdict['name']} ({verdict['factory']}), images {shape}, {verdict['n_classes']} classes"


def _by(shape: Iterable[int]) -> str:
    return " × ".join(map(str, shape))
