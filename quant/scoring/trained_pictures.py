"""Find which of the scored pictures a model was trained on, if its file has the training settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError
from edgehrnet.shipped import model_path
from quant.data.examples import DataSet
from quant.data.formats.projects import chosen, root_of, tables_of
from quant.data.labeled import Labeled
from quant.data.remarks import Remarks
from quant.scoring.evaluation import Evaluation


@dataclass(frozen=True)
class Trained:
    """The scored pictures that a model was trained on."""

    paths: frozenset[Path] | None
    """Files of the scored pictures that were trained on. None if it is not known."""
    text: str
    """Sentence about it for people, which follows the name of the model and a colon."""


def trained_pictures(file: str | Path, data: Labeled, evaluation: Evaluation) -> Trained:
    """Compare the pictures of an evaluation with those that the training settings of a model file name.

    Only checkpoints have training settings, and only those of their last run. If that run began with another
    checkpoint, the pictures of earlier runs are not known, and the text names that checkpoint.

    Args:
        file: Model file.
        data: Labels of the scored pictures.
        evaluation: Evaluation of the model on ``data``.
    """
    settings = training_settings(Path(file))
    scored = frozenset(path for path in evaluation.paths if path is not None)
    if "data" not in settings:
        return _unknown("the file does not say")
    training = training_part(settings, data)
    if training is None:
        return _unknown(f"it was trained on {settings['data']}")
    seen = frozenset(path for path in scored if path in training)
    began = f" in the last run, which began with {settings['init']}" if settings.get("init") else ""
    note = "; errors on new pictures are usually larger" if seen else ""
    return Trained(seen, f"trained on {len(seen) or 'none'} of these {len(scored)} pictures{began}{note}")


def trained_of(models: Sequence[str], data: DataSet, evaluations: Sequence[Evaluation]) -> list[Trained]:
    """Return `trained_pictures` of each model, by path or shipped name. Synthetic data gives an empty list."""
    if not isinstance(data, Labeled):
        return []
    return [trained_pictures(model_path(name), data, found) for name, found in zip(models, evaluations, strict=True)]


def training_settings(file: Path) -> Mapping[str, Any]:
    """Return the training settings in a checkpoint. They are empty if it has none, and for other files."""
    if file.suffix.lower() != ".pt":
        return {}
    from edgehrnet.models.checkpoints import load_checkpoint  # needs torch, which scoring other files does not

    settings = load_checkpoint(file).training.get("settings")
    return settings if isinstance(settings, Mapping) else {}


def training_part(settings: Mapping[str, Any], data: Labeled) -> frozenset[Path] | None:
    """Return the pictures of ``data`` that training settings name, or None if the settings name other labels."""
    fold, validation = settings.get("fold"), settings.get("validation")
    if not _is_source(settings["data"], data):
        return frozenset() if validation is not None and _is_source(validation, data) else None
    try:
        split = Labeled(data.annotations, None if fold is None else (int(fold[0]), int(fold[1])))
    except InputError:  # the labels have changed since
        return None
    return frozenset(path for picture in data.annotations.pictures if split.is_trained(path := picture.path))


def _is_source(name: Any, data: Labeled) -> bool:
    """Return whether a name in training settings is the file of these labels, or a folder with this table only."""
    source, path = data.annotations.source.resolve(), Path(str(name))
    if path.resolve() == source:
        return True
    tables = chosen(tables_of(path), root_of(path), Remarks())
    return len(tables) == 1 and tables[0].resolve() == source


def _unknown(why: str) -> Trained:
    return Trained(None, f"not known whether it was trained on these pictures; {why}")
