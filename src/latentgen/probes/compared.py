"""Probes of an entry that are compared because they differ in one setting. Imports nothing that computes."""

from collections.abc import Mapping
from typing import Any


def thresholds(probes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Probes of kind MASC that differ only in how many axes they keep, most variance last; settings by name."""
    plain = {"fit_labels": "given", "batch_norm": "running"}
    found = [
        name
        for name, probe in probes.items()
        if probe["kind"] == "masc" and all(probe[key] == value for key, value in plain.items())
    ]
    return sorted(
        found, key=lambda name: (probes[name]["n_axes"] is None, probes[name]["n_axes"] or 0, probes[name]["variance"])
    )


def mode_pairs(probes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs (running, example) of probes that differ only in the batch-norm mode of their features."""

    of_use = ("batch_norm", "family", "score", "max_features")

    def plain(probe: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in probe.items() if key not in of_use}

    return [
        (running, example)
        for running in probes
        for example in probes
        if (probes[running]["batch_norm"], probes[example]["batch_norm"]) == ("running", "example")
        and plain(probes[running]) == plain(probes[example])
    ]
