"""The headline a second time, with plain loops over the runs of each grid point."""

import frames
import frames_rewinding
import numpy as np


def slow_headline(probes, history, transfer, edit, relabel, rewind):
    """{(model, level, probe, bias, edit epoch, way, quantity, choice, layers): ({seeds: value}, {seeds: epoch})}.

    The way is that of rewinding with batch normalisation.
    """
    table = {}
    for model, level in sorted(set(zip(history["model"], history["level"], strict=True))):
        here = [
            frame[(frame["model"] == model) & (frame["level"] == level)]
            for frame in (probes, history, transfer, edit, relabel, rewind)
        ]
        point = Point(model, *here)
        for (*key, layers), chosen in point.quantities():
            values = {run: value for run, (value, _, _) in chosen.items()}
            table[model, level, *key, layers] = values, {run: epoch for run, (_, epoch, _) in chosen.items()}
    return table


class Point:
    """One grid point; what is chosen is {seeds: (value, epoch, layer)}."""

    def __init__(self, model, probes, history, transfer, edit, relabel, rewind):
        self.layers, self.rewound, self.rewind = frames.LAYERS[model], frames_rewinding.WEIGHTS[model], rewind
        self.probes, self.transfer, self.edit, self.relabel = probes, transfer, edit, relabel
        self.runs = sorted(set(zip(history["data_seed"], history["model_seed"], strict=True)))
        tests, held_out = self.cells(history, "test", "true"), self.cells(history, "validation", "given")
        self.final = {run: (tests[run][max(tests[run])], *max(tests[run])) for run in self.runs}
        self.stopped = {"oracle": self.at(tests, tests), "validation": self.at(tests, held_out)}

    def cells(self, frame, split, labels):
        """{seeds: {(epoch, layer): value}}, in order of epoch and depth."""
        frame = frame[(frame["split"] == split) & (frame["labels"] == labels) & (frame["metric"] == "accuracy")]
        if "mode" in frame:
            frame = frame[frame["mode"] == "evaluated"]
        layers = list(frame["layer"]) if "layer" in frame else [None] * len(frame)
        seeds = zip(frame["data_seed"], frame["model_seed"], strict=True)
        found = {run: {} for run in self.runs}
        for run, epoch, layer, value in zip(seeds, frame["epoch"], layers, frame["value"], strict=True):
            assert (epoch, layer) not in found[run]
            found[run][epoch, layer] = value
        order = {None: -1, **{layer: depth for depth, layer in enumerate(self.layers)}}
        return {
            run: dict(sorted(values.items(), key=lambda item: (item[0][0], order[item[0][1]])))
            for run, values in found.items()
        }

    def at(self, seen, scores):
        """What was seen where the scores of each run are highest, first of equals."""
        best = {run: max(scores[run], key=scores[run].get) for run in self.runs}
        return {run: (seen[run][best[run]], *best[run]) for run in self.runs}

    def best_layer(self, seen, epoch):
        """The layer whose values at ``epoch(run, layer)`` have the best mean over data seeds, first of equals."""
        means = []
        for layer in self.layers:
            by_seed = {}
            for run in self.runs:
                by_seed.setdefault(run[0], []).append(seen[run][epoch(run, layer), layer])
            means.append(np.mean([np.mean(values) for values in by_seed.values()]))
        layer = self.layers[int(np.argmax(means))]
        return {run: (seen[run][epoch(run, layer), layer], epoch(run, layer), layer) for run in self.runs}

    def quantities(self):
        """((probe, bias, edit epoch, way, quantity, choice, layers), chosen) of every row."""
        yield self.named("model_final", "fixed", self.final)
        for choice, chosen in self.stopped.items():
            yield self.named("model_final_minus_model_best_epoch", choice, self.minus(self.final, chosen))
        for choice, chosen in self.stopped.items():
            yield self.named("model_best_epoch", choice, chosen)
        for probe in sorted(set(self.probes["probe"])):
            yield from self.of_probe(probe)
        for bias in ("zero", "kept"):
            yield from self.of_transfer(bias)
        for edit_epoch in sorted(set(self.edit["edit_epoch"])):
            yield from self.of_edit(edit_epoch)
        seen = self.cells(self.relabel, "test", "true")
        final = {run: (seen[run][max(seen[run])], *max(seen[run])) for run in self.runs}
        yield from self.compared("relabel_final", "fixed", final, probe="masc")
        right = self.relabel[(self.relabel["metric"] == "label_accuracy") & (self.relabel["labels"] == "true")]
        right = {(row.data_seed, row.model_seed): (row.value, 0, row.layer) for row in right.itertuples()}
        yield self.named("relabel_label_accuracy", "fixed", right, probe="masc")
        for way in sorted(set(self.rewind["batch_norm"])):
            yield from self.of_rewinding(way)

    def of_probe(self, probe):
        rows = self.probes[self.probes["probe"] == probe]
        seen, held_out = self.cells(rows, "test", "true"), self.cells(rows, "validation", "given")
        ends = {run: max(seen[run])[0] for run in self.runs}

        def peak(run, layer):
            return max((key for key in seen[run] if key[1] == layer), key=seen[run].get)[0]

        at_end = {run: {key: held_out[run][key] for key in held_out[run] if key[0] == ends[run]} for run in self.runs}
        yield from self.compared(
            "probe_final_best_layer", "oracle", self.best_layer(seen, lambda run, _: ends[run]), probe
        )
        yield from self.compared("probe_final_best_layer", "validation", self.at(seen, at_end), probe)
        yield from self.compared("probe_best_epoch_best_layer", "oracle", self.best_layer(seen, peak), probe)
        yield from self.compared("probe_best_epoch_best_layer", "validation", self.at(seen, held_out), probe)
        last = self.layers[-1]
        final = {run: (seen[run][ends[run], last], ends[run], last) for run in self.runs}
        yield from self.compared("probe_final_last_layer", "fixed", final, probe)
        yield self.named("probe_initial_best_layer", "oracle", self.best_layer(seen, lambda *_: 0), probe)
        initial = {run: (seen[run][0, last], 0, last) for run in self.runs}
        yield self.named("probe_initial_last_layer", "fixed", initial, probe)

    def of_transfer(self, bias):
        rows = self.transfer[
            (self.transfer[["head", "rows", "norm", "bias"]] == ["replaced", "axis", "unit", bias]).all(axis=1)
            & (self.transfer["mix"] == 1)
        ]
        seen, held_out = self.cells(rows, "test", "true"), self.cells(rows, "validation", "given")
        final = {run: (seen[run][max(seen[run])], *max(seen[run])) for run in self.runs}
        yield from self.compared("transfer_final", "fixed", final, bias=bias)
        yield from self.compared("transfer_best_epoch", "oracle", self.at(seen, seen), bias=bias)
        yield from self.compared("transfer_best_epoch", "validation", self.at(seen, held_out), bias=bias)

    def of_edit(self, edit_epoch):
        rows = self.edit[self.edit["edit_epoch"] == edit_epoch]
        final = {}
        for kind in sorted(set(zip(rows["rows"], rows["layer"], rows["bias"], strict=True))):
            seen = self.cells(rows[(rows[["rows", "layer", "bias"]] == list(kind)).all(axis=1)], "test", "true")
            final[kind] = {run: (seen[run][max(seen[run])], *max(seen[run])) for run in self.runs if seen[run]}
        (control,) = [chosen for (kind, _, _), chosen in final.items() if kind == "none"]
        yield from self.compared("edit_control_final", "fixed", control, edit_epoch=edit_epoch)
        for (kind, _, bias), chosen in final.items():
            if kind == "axis":
                yield from self.compared("edit_final", "fixed", chosen, bias=bias, edit_epoch=edit_epoch)
                gap = self.minus(chosen, control)
                yield self.named("edit_final_minus_control", "fixed", gap, bias=bias, edit_epoch=edit_epoch)

    def of_rewinding(self, way):
        end, whole = {}, {}
        for choice, chosen in self.chosen(way, "prefix", whole=True):
            whole[choice] = {run: (value, epoch, None) for run, (value, epoch, _) in chosen.items()}
        for row in self.rewind.to_dict("records"):
            # Whichever layers are put back, at the last epoch nothing is; here all are named.
            key = row["batch_norm"], row["view"], row["weights"], row["epoch"], row["kind"], row["layer"]
            if key == (way, "test", "saved", row["last_epoch"], "prefix", self.rewound[-1]):
                end[row["data_seed"], row["model_seed"]] = row["value"], row["epoch"], None
        yield from self.compared("rewind_none", "fixed", end, way=way)
        for choice, chosen in whole.items():
            yield from self.compared("rewind_all_best", choice, chosen, way=way)
        for kind in ("alone", "prefix", "suffix"):
            for choice, chosen in self.chosen(way, kind, whole=False):
                chosen = {
                    run: (value, epoch, "none" if epoch == end[run][1] else layer)
                    for run, (value, epoch, layer) in chosen.items()
                }
                yield from self.compared(f"rewind_{kind}_best", choice, chosen, way=way, final=end, stopped=whole)

    def chosen(self, way, kind, whole):
        """(choice, best of each run) among the sets of a kind that are, or are not, all layers."""
        seen, held_out = ({run: {} for run in self.runs} for _ in range(2))
        for row in self.rewind.to_dict("records"):
            place = self.rewound.index(row["layer"])
            sets = {"alone": [row["layer"]], "prefix": self.rewound[: place + 1], "suffix": self.rewound[place:]}
            if (row["batch_norm"], row["kind"], row["weights"]) != (way, kind, "saved"):
                continue
            for view, values in (("test", seen), ("validation", held_out)):
                if row["view"] == view and (sets[kind] == self.rewound) == whole:
                    values[row["data_seed"], row["model_seed"]][row["epoch"], place] = row["value"]
        for choice, scores in (("oracle", seen), ("validation", held_out)):
            found = {}
            for run in self.runs:
                # Dictionaries keep their order, and max takes the first of equals.
                ordered = dict(sorted(scores[run].items()))
                epoch, place = max(ordered, key=ordered.get)
                found[run] = seen[run][epoch, place], epoch, self.rewound[place]
            yield choice, found

    def compared(self, quantity, choice, chosen, *names, final=None, stopped=None, **more):
        final, stopped_by = final or self.final, stopped or self.stopped
        yield self.named(quantity, choice, chosen, *names, **more)
        yield self.named(f"{quantity}_minus_model_final", choice, self.minus(chosen, final), *names, **more)
        for how, stopped in stopped_by.items():
            if choice in ("fixed", how):
                gap = self.minus(chosen, stopped)
                yield self.named(f"{quantity}_minus_model_best_epoch", how, gap, *names, **more)

    @staticmethod
    def minus(chosen, baseline):
        return {run: (value - baseline[run][0], epoch, layer) for run, (value, epoch, layer) in chosen.items()}

    def named(self, quantity, choice, chosen, probe=None, bias=None, edit_epoch=None, way=None):
        found = [layer for _, _, layer in chosen.values()]
        counts = [f"{layer} x {found.count(layer)}" for layer in ("none", *self.layers, "output") if layer in found]
        layers = found[0] if len(set(found)) == 1 else ", ".join(counts)
        return (probe, bias, edit_epoch, way, quantity, choice, layers), chosen
