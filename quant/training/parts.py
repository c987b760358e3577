"""Build what a training run works with: data set, spec and network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import nn

from edgehrnet.errors import InputError
from edgehrnet.models import KeypointNetwork, create
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint
from edgehrnet.models.variants import find_variant
from edgehrnet.spec import ModelSpec
from quant.data.codecs import CODECS, with_codec
from quant.data.examples import DataSet
from quant.data.keypoint_order import check_order
from quant.data.labeled import Labeled
from quant.data.opening import open_data
from quant.training.settings import TrainSettings

DETAIL = 4
"""How many times longer than the input training pictures stay, so that augmenting them does not change the details."""
SYNTHETIC_SIZE = (128, 256)
"""Input size (height, width) for synthetic pictures: a quarter of the pixels of the shipped model's input."""


@dataclass(frozen=True)
class Parts:
    """Data set, spec and network of a training run."""

    data: DataSet
    """Data set to train on."""
    spec: ModelSpec
    """Spec of the network, with its largest input size."""
    network: KeypointNetwork
    """Network to train, on the CPU."""


def float_parts(settings: TrainSettings, data: DataSet | None = None) -> Parts:
    """Build the parts of a float training run, and read the checkpoint to start from, if any.

    Args:
        settings: settings of the run.
        data: data set of the settings. None opens it.

    Raises:
        InputError: settings and data do not fit together, or pictures are missing.
    """
    data = data or open_training_data(settings)
    spec = _spec(settings, data)
    _reduce(data, spec)
    network = new_network(settings, len(spec.keypoints))
    if settings.init is not None:
        start_from(network, load_checkpoint(settings.init), settings.init)
    return Parts(data, spec, network)


def parts_of_checkpoint(settings: TrainSettings, checkpoint: Checkpoint) -> Parts:
    """Build the parts of a run that continues a checkpoint: its spec, and a float network with its weights.

    Args:
        settings: settings of the run. ``init`` names the checkpoint.
        checkpoint: content of ``settings.init``.

    Raises:
        InputError: settings, data and checkpoint do not fit together.
    """
    assert settings.init is not None
    spec = ModelSpec.from_dict(checkpoint.spec)
    data = open_training_data(dataclasses.replace(settings, crop=spec.crop))
    if settings.sizes:
        spec = spec.replace(input_size=settings.largest_size)
    if spec.crop != data.spec.crop:
        raise InputError(f"{settings.init} takes crops of boxes ({spec.crop}), and {settings.data} has no boxes")
    order = check_order(data.spec.keypoints, spec.keypoints, settings.data, settings.init)
    if isinstance(data, Labeled):
        data = data.reordered(order)
    _reduce(data, spec)
    network = new_network(settings, checkpoint.keypoints)
    start_from(network, checkpoint, settings.init)
    return Parts(data, spec, network)


def open_training_data(settings: TrainSettings) -> DataSet:
    """Open the data set, and check its labels and pictures before hours of training."""
    crop = settings.crop
    if crop == "auto" and settings.codec is not None and CODECS[settings.codec].crop == "udp":
        crop = "udp"  # encodings that are for these crops only
    return open_data(
        settings.data,
        settings.fold,
        augmented=settings.augment,
        crop=crop,
        images=settings.images,
        flip_pairs=settings.flip_pairs,
        validation=settings.validation,
    )


def new_network(settings: TrainSettings, keypoints: int) -> KeypointNetwork:
    """Create the network with random weights that depend on the seed alone."""
    torch.manual_seed(settings.seed)
    return create(settings.model, keypoints=keypoints, **settings.options)


def start_from(network: nn.Module, checkpoint: Checkpoint, name: str) -> None:
    """Copy the weights of a checkpoint. Heads that it lacks, or has for other keypoints, stay as they are.

    Raises:
        InputError: weights outside the heads are missing. The message has the checkpoint's ``name``.
    """
    wanted, given = network.state_dict(), checkpoint.state
    fitting = {key: value for key, value in given.items() if key in wanted and value.shape == wanted[key].shape}
    missing, _ = network.load_state_dict(fitting, strict=False)
    body = [key for key in missing if not key.startswith(("heads.", "auxiliary.", "head."))]
    if body:
        raise InputError(
            f"{name} holds {checkpoint.variant}, which does not fit the network to train: it has no "
            f"{', '.join(body[:3])} of the right shape; leave out --model to train the network of the checkpoint"
        )


def usual_size(model: str, data: DataSet) -> tuple[int, int]:
    """Return the usual input size (height, width) of a published network, or else that of the data set."""
    size: tuple[int, int] | None = find_variant(model).spec.get("input_size")
    if size is not None:
        return size
    return data.spec.input_size if len(data) else SYNTHETIC_SIZE


def _reduce(data: DataSet, spec: ModelSpec) -> None:
    """Let whole training pictures be reduced to `DETAIL` times the network's input before they are augmented."""
    if isinstance(data, Labeled):
        data.detail = DETAIL * max(spec.input_size)


def _spec(settings: TrainSettings, data: DataSet) -> ModelSpec:
    """Combine what data set, network and codec say about the model."""
    size = settings.largest_size if settings.sizes else usual_size(settings.model, data)
    spec = data.spec.replace(**{**find_variant(settings.model).spec, "input_size": size})
    return with_codec(spec, settings.codec) if settings.codec else spec
