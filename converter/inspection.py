"""The public functions that need no data: `inspect` and `fold`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from converter.digest import Digest
from converter.errors import Finding, ModelFileError, Rejected, printable
from converter.folding import Folded, Settled, fold_network, judge
from converter.formats import read
from converter.model import AffineModel, Source
from converter.network import Loss, Network, Output
from converter.variables import element_names

# Losses that make an identity output the linear predictor of a logistic or a multinomial
# regression, when computed from logits.
_FROM_LOGITS = {
    "binary_crossentropy": "binomial",
    "categorical_crossentropy": "multinomial",
    "sparse_categorical_crossentropy": "multinomial",
}
# The family whose mean a link stands for.
_FAMILIES = {
    "logit": "binomial",
    "probit": "binomial",
    "cloglog": "binomial",
    "softmax": "multinomial",
    "log": "poisson",
}


@dataclass(frozen=True, slots=True)
class InputReport:
    """An input as the file declares it: name, shape (None where left open), element type."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True, slots=True)
class OutputReport:
    """What was found about one output.

    Parameters
    ----------
    name : str
    shape : tuple of int or None
        Of one observation; None if the output was rejected.
    verdict : {"affine", "linked", "rejected", "label"}
        ``label``: a classifier's decision, set aside because other outputs tell more.
    link, family : str or None
    loss : Loss or None
    findings : tuple of Finding
    """

    name: str
    shape: tuple[int, ...] | None
    verdict: str
    link: str | None
    family: str | None
    loss: Loss | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a model file turned out to be.

    Parameters
    ----------
    path, format : str
    verdict : {"affine", "linked", "rejected"}
        ``affine``: a linear regression; ``linked``: an affine map behind a known link;
        ``rejected``: neither. With several outputs, the worst of theirs.
    link : str or None
        One of `converter.links.LINKS`; None if rejected or if the outputs differ.
    family : str or None
        ``gaussian``, ``binomial``, ``multinomial`` or ``poisson``; None if rejected or if the
        outputs differ.
    findings : tuple of Finding
        Every operation that forbids a regression; empty unless rejected.
    inputs : tuple of InputReport
    outputs : tuple of OutputReport
    loss : Loss or None
        The training loss if the file records one and the outputs share it.
    sha256 : str
        Of the file's bytes, hexadecimal; of a folder, of the sorted list of its files' digests.
    size : int
        Bytes, external data included.
    notes : tuple of str
        What the file says about the training run, and how it was read, as sentences.
    """

    path: str
    format: str
    verdict: str
    link: str | None
    family: str | None
    findings: tuple[Finding, ...]
    inputs: tuple[InputReport, ...]
    outputs: tuple[OutputReport, ...]
    loss: Loss | None
    sha256: str
    size: int
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from converter.reports.notebook import inspection_html

        return inspection_html(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the inspection as plain Python values, ready for JSON."""
        return {
            "path": self.path,
            "format": self.format,
            "verdict": self.verdict,
            "link": self.link,
            "family": self.family,
            "findings": [finding.to_dict() for finding in self.findings],
            "inputs": [
                {
                    "name": one.name,
                    "shape": None if one.shape is None else list(one.shape),
                    "dtype": one.dtype,
                }
                for one in self.inputs
            ],
            "outputs": [
                {
                    "name": one.name,
                    "shape": None if one.shape is None else list(one.shape),
                    "verdict": one.verdict,
                    "link": one.link,
                    "family": one.family,
                    "loss": None if one.loss is None else str(one.loss),
                }
                for one in self.outputs
            ],
            "loss": None if self.loss is None else str(self.loss),
            "loss_settings": {} if self.loss is None else dict(self.loss.settings),
            "sha256": self.sha256,
            "size": self.size,
            "notes": list(self.notes),
        }


def inspect(
    path: str | os.PathLike[str],
    *,
    output: str | int | None = None,
    signature: str | None = None,
) -> Inspection:
    """Decide whether a saved network is a regression, and say why not if it is not.

    Parameters
    ----------
    path : path-like
        A Keras archive, Keras HDF5 file, TensorFlow SavedModel folder, or ONNX model; nothing in
        it is run.
    output : str or int, optional
        Look at this output alone (name, or place among the outputs).
    signature : str, optional
        Which signature of a SavedModel: by default ``serving_default``, or the only one.

    Returns
    -------
    Inspection

    Raises
    ------
    ModelFileError
        If the file is damaged, hostile, or not a model.
    ValueError
        If there is no such output.
    """
    network = read(path, signature)
    digest = Digest(path)
    try:
        chosen = choose(network, output)
        reports, notes = _reports(network, chosen)
    finally:
        sha256 = digest.result()
    counted = [one for one in reports if one.verdict != "label"]
    losses = {one.loss for one in counted}
    verdicts = [one.verdict for one in counted]
    links = {one.link for one in counted}
    families = {one.family for one in counted}
    return Inspection(
        path=network.path,
        format=network.format,
        verdict=next(v for v in ("rejected", "linked", "affine") if v in verdicts),
        link=links.pop() if len(links) == 1 else None,
        family=families.pop() if len(families) == 1 else None,
        findings=tuple(dict.fromkeys(f for one in counted for f in one.findings)),
        inputs=tuple(InputReport(i.name, i.shape, i.dtype) for i in network.inputs),
        outputs=reports,
        loss=losses.pop() if len(losses) == 1 else None,
        sha256=sha256,
        size=network.size,
        notes=training_notes(network) + notes,
    )


def _reports(
    network: Network, outputs: Sequence[Output]
) -> tuple[tuple[OutputReport, ...], tuple[str, ...]]:
    """Fold all outputs at once; if some are refused, each by itself to tell them apart.

    Returns
    -------
    reports : tuple of OutputReport
    notes : tuple of str
    """
    try:
        folded = fold_outputs(network, outputs)
    except Rejected as rejected:
        if len(outputs) > 1:
            return _each(network, outputs)
        loss = network.training.losses.get(outputs[0].name)
        name = outputs[0].name
        return (OutputReport(name, None, "rejected", None, None, loss, rejected.findings),), ()
    kept = {one.name: place for place, one in enumerate(folded.outputs)}
    starts = [0]
    for shape in folded.output_shapes:
        starts.append(starts[-1] + len(element_names("", shape)))
    reports = []
    for output in outputs:
        loss = network.training.losses.get(output.name)
        place = kept.get(output.name)
        if place is None:
            reports.append(OutputReport(output.name, None, "label", None, None, loss, ()))
            continue
        links = set(folded.links[starts[place] : starts[place + 1]])
        link = links.pop() if len(links) == 1 else None
        reports.append(
            OutputReport(
                output.name,
                folded.output_shapes[place],
                "affine" if link == "identity" else "linked",
                link,
                None if link is None else family_of(link, loss),
                loss,
                (),
            )
        )
    return tuple(reports), (*folded.notes, *_category_notes(folded))


def _category_notes(folded: Folded) -> list[str]:
    """Say which inputs are no numbers but categories."""
    return [
        f"{one.name} is a category of {one.levels.count} levels: its terms are C({one.name})[level]"
        for one in folded.variables
        if one.levels is not None and one.number == 1
    ][:_SHOWN]


# Categories that an inspection names; a sequence of words has one for each place.
_SHOWN = 12


def _each(
    network: Network, outputs: Sequence[Output]
) -> tuple[tuple[OutputReport, ...], tuple[str, ...]]:
    """Report on outputs of which some are refused: these by themselves, the others together."""
    try:
        found, _, _ = judge(network, outputs)
    except Rejected as rejected:  # for what concerns all outputs alike
        found = [rejected.findings] * len(outputs)
    pairs = list(zip(outputs, found, strict=True))
    good = [output for output, one in pairs if isinstance(one, Settled) or not one]
    reports: dict[str, OutputReport] = {}
    notes: tuple[str, ...] = ()
    if good and len(good) < len(outputs):
        accepted, notes = _reports(network, good)
        reports = {one.name: one for one in accepted}
    for output, one in pairs:
        if output.name in reports:
            continue
        if isinstance(one, Settled):  # the rows mix in ways that only the sweep sees
            reports[output.name] = _reports(network, [output])[0][0]
        else:
            loss = network.training.losses.get(output.name)
            reports[output.name] = OutputReport(
                output.name, None, "rejected", None, None, loss, one
            )
    return tuple(reports[output.name] for output in outputs), notes


def fold(
    path: str | os.PathLike[str],
    *,
    output: str | int | None = None,
    scaler: Any = None,
    target_scaler: Any = None,
    signature: str | None = None,
) -> AffineModel:
    """Fold a saved network into one affine map.

    Parameters
    ----------
    path : path-like
        A Keras archive, Keras HDF5 file, TensorFlow SavedModel folder, or ONNX model; nothing in
        it is run.
    output : str or int, optional
        Which output: its name, the name of one element (``dense[1]``), or its place among the
        outputs. By default all of them, one below the other, which needs that they share one link.
    scaler, target_scaler : fitted scikit-learn scaler, mapping or path, optional
        What was applied to inputs and target before training; folded in. See `convert`.
    signature : str, optional
        Which signature of a SavedModel: by default ``serving_default``, or the only one.

    Returns
    -------
    AffineModel

    Raises
    ------
    Rejected
        If the network is not a regression.
    ModelFileError
        If the file is damaged, hostile, or not a model.
    ValueError
        If there is no such output, or the outputs differ in link or family.
    """
    network = read(path, signature)
    # Of a folder nothing is opened that is not needed: its digest would be of all its files.
    digest = None if os.path.isdir(path) else Digest(path)
    try:
        model = _model(network, path, choose(network, output), output)
    finally:
        sha256 = "" if digest is None else digest.result()
    model = replace(model, source=Source(sha256, output, signature))
    if scaler is not None or target_scaler is not None:
        from converter.regression.scaling import scalers_of, unscale

        model = unscale(model, *scalers_of(scaler, target_scaler))
    return model


def fold_each(
    path: str | os.PathLike[str],
    output: str | int | None = None,
    signature: str | None = None,
) -> list[AffineModel]:
    """Fold each output of a saved network by itself; parameters and errors as for `fold`.

    Outputs may then differ in link and family.
    """
    network = read(path, signature)
    digest = Digest(path)
    try:
        models = fold_network_each(network, path, output)
    finally:
        sha256 = digest.result()
    return [replace(one, source=Source(sha256, output, signature)) for one in models]


def fold_network_each(
    network: Network, path: str | os.PathLike[str], output: str | int | None
) -> list[AffineModel]:
    """Fold each output of a network by itself; see `fold_each`."""
    chosen = choose(network, output)
    if len(chosen) > 1:  # a decision on probabilities that are an output too is none of its own
        chosen = list(fold_outputs(network, chosen).outputs)
    return [_model(network, path, [one], output) for one in chosen]


def _model(
    network: Network,
    path: str | os.PathLike[str],
    chosen: list[Output],
    output: str | int | None,
) -> AffineModel:
    folded = fold_outputs(network, chosen)
    chosen = list(folded.outputs)
    losses = [network.training.losses.get(one.name) for one in chosen]
    kinds = {(link, family_of(link, loss)) for link in folded.links for loss in losses}
    if len(kinds) > 1:
        among = ", ".join(repr(printable(one.name)) for one in network.outputs)
        raise ValueError(
            f"{network.path}: the outputs are different kinds of regression; choose one with "
            f"output= (--output), among {among}"
        )
    ((link, family),) = kinds
    labels = _class_labels(network)
    names = [
        name
        for one, shape in zip(chosen, folded.output_shapes, strict=True)
        for name in _output_names(one, shape, labels.get(one.edge, ()))
    ]
    inputs = tuple(
        (one.name, shape)
        for one, shape in zip(network.inputs, folded.input_shapes, strict=True)
        if shape is not None
    )
    model = AffineModel(
        coef=folded.coef,
        intercept=folded.intercept,
        has_intercept=folded.has_intercept,
        link=link,
        family=family,
        feature_names=tuple(term for one in folded.variables for term in one.terms),
        output_names=tuple(names),
        loss=losses[0] if len(set(losses)) == 1 else None,
        inputs=inputs,
        path=network.path,
        format=network.format,
        training=network.training,
        groups=tuple(folded.groups.tolist()),
        notes=folded.notes,
        variables=folded.variables if _categorical(folded) else (),
    )
    if isinstance(output, str) and output not in [one.name for one in chosen]:
        model = model.select(output)
    return model


def _categorical(folded: Folded) -> bool:
    return any(one.levels is not None for one in folded.variables)


def _class_labels(network: Network) -> dict[str, tuple[str, ...]]:
    """Return the labels by which ONNX names the columns of a classifier's scores, by edge."""
    found: dict[str, tuple[str, ...]] = {}
    for node in network.nodes:
        labels, edge = _CLASS_LABELS.get((node.domain, node.operation), ((), 0))
        own = next((given for key in labels if (given := node.attributes.get(key))), ())
        if own and edge < len(node.outputs):
            found[node.outputs[edge]] = tuple(str(label) for label in own)
        elif node.operation in _KEEPS_COLUMNS and node.inputs and node.inputs[0] in found:
            found[node.outputs[0]] = found[node.inputs[0]]
    return found


# Attributes with the labels, and the place of the output whose columns they name.
_CLASS_LABELS = {
    ("ai.onnx.ml", "ZipMap"): (("classlabels_strings", "classlabels_int64s"), 0),
    ("ai.onnx.ml", "LinearClassifier"): (("classlabels_strings", "classlabels_ints"), 1),
}
_KEEPS_COLUMNS = ("Normalizer", "Identity", "Cast", "Softmax", "Sigmoid")


def _output_names(output: Output, shape: tuple[int, ...], labels: Sequence[str]) -> list[str]:
    if labels and shape == (len(labels),) and len(set(labels)) == len(labels):
        return [f"{output.name}[{label}]" for label in labels]
    return element_names(output.name, shape)


def family_of(link: str, loss: Loss | None) -> str:
    """Return the family of the regression that a link and a training loss make."""
    if link in _FAMILIES:
        return _FAMILIES[link]
    if loss is not None and loss.from_logits:
        return _FROM_LOGITS.get(loss, "gaussian")
    return "gaussian"


def training_notes(network: Network) -> tuple[str, ...]:
    """Return what the file says about training beyond the loss, as sentences."""
    training = network.training
    notes = [f"layer {layer} was trained with {penalty}" for layer, penalty in training.penalties]
    notes += [
        f"layer {layer} ({operation}) acted in training only"
        for layer, operation in training.stochastic
    ]
    return tuple(notes) + training.notes


def choose(network: Network, output: str | int | None) -> list[Output]:
    """Return the outputs that a user asks for.

    Raises
    ------
    ValueError
        If there is no such output.
    """
    outputs = list(network.outputs)
    if not outputs:
        raise ModelFileError(f"{printable(network.path)}: the model has no outputs")
    if output is None:
        return outputs
    if isinstance(output, int):
        if not -len(outputs) <= output < len(outputs):
            names = ", ".join(f"{n} ({printable(one.name)})" for n, one in enumerate(outputs[:8]))
            raise ValueError(f"there is no output {output}; the model has {names}")
        return [outputs[output]]
    chosen = [one for one in outputs if one.name == output]
    if not chosen:
        # One element of an output, as AffineModel.output_names calls it.
        chosen = [one for one in outputs if output.startswith(f"{one.name}[")]
    if not chosen:
        names = ", ".join(repr(printable(one.name)) for one in outputs)
        raise ValueError(f"there is no output {output!r}; the model has {names}")
    return chosen


def fold_outputs(network: Network, outputs: Sequence[Output]) -> Folded:
    """Fold, with the file's name in whatever is wrong with it."""
    try:
        try:
            return fold_network(network, outputs)
        finally:
            network.verify()
    except ModelFileError as error:
        raise ModelFileError(f"{printable(network.path)}: {error}") from None
    except MemoryError:
        raise ModelFileError(
            f"{printable(network.path)}: folding it needs more memory than there is"
        ) from None
