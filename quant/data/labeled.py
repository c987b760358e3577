"""Provide labeled pictures as a data set with a training part and a validation part.

All labels are in memory. A picture is opened when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.picture.crops import CropConvention
from edgehrnet.picture.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.data.annotations import Annotations, Instance
from quant.data.augmentation import augment, inside, reduced
from quant.data.examples import Example, random_subset
from quant.data.keypoint_order import reordered
from quant.data.person_augmentation import MIRRORED, augment_person, mirrored

WHOLE_SIZE, CROP_SIZE = (256, 256), (256, 192)
"""Usual input sizes (height, width) for whole pictures and for crops of persons."""


class Labeled:
    """A data set of labeled pictures on disk, split into a training part and a validation part.

    All instances of a picture are in the same part, because their crops may overlap.
    """

    def __init__(
        self,
        annotations: Annotations,
        fold: tuple[int, int] | None = None,
        *,
        crop: CropConvention | None = None,
        augmented: bool = True,
        validation: Annotations | None = None,
    ) -> None:
        """Split the labels.

        Args:
            annotations: complete labels, see `completed`.
            fold: (k, n) uses every n-th picture for validation, beginning with the k-th, counted from 0. With None,
                every picture is in both parts.
            crop: convention of the crops for a network that takes one box at a time. None for whole pictures.
            augmented: whether training examples are augmented.
            validation: labels of the validation part, with the same keypoints. None takes it from ``annotations``.

        Raises:
            InputError: one of the parts would be empty.
        """
        self.annotations, self.fold, self.augmented = annotations, fold, augmented
        self.separate = validation
        self.detail: int | None = None
        """Least length of the longer side of whole pictures after they are reduced for training. None keeps them."""
        self.spec = ModelSpec(
            name=annotations.name,
            keypoints=annotations.keypoints,
            skeleton=annotations.skeleton,
            flip_pairs=annotations.flip_pairs,
            oks_sigmas=annotations.sigmas,
            input_size=WHOLE_SIZE if crop is None else CROP_SIZE,
            crop=crop,
        )
        instances = list(annotations.trained())
        self._training, self._validation = instances, instances
        if validation is not None:
            self._validation = list(validation.trained())
        elif fold is not None:
            k, n = fold
            paths = dict.fromkeys(instance.picture.path for instance in instances)
            part = {path: index % n for index, path in enumerate(paths)}
            self._validation = [instance for instance in instances if part[instance.picture.path] == k]
            self._training = [instance for instance in instances if part[instance.picture.path] != k]
        if not self._training or not self._validation:
            why = "" if fold is None else f", and --fold {fold[0]}/{fold[1]} leaves one part without any; use another"
            raise InputError(f"{self.spec.name} has {len(instances)} labeled instances{why}")

    def __len__(self) -> int:
        return len(self._training)

    def counts(self) -> tuple[int, int, int]:
        """Return the number of all pictures, of all instances, and of the instances in the validation part."""
        both = self._training if self._training is self._validation else [*self._training, *self._validation]
        return len({instance.picture.path for instance in both}), len(both), len(self._validation)

    @property
    def held_out(self) -> bool:
        """Return whether the validation part has other pictures than the training part."""
        return self.separate is not None or self.fold is not None

    def training(self, seed: int, number: int) -> Example:
        """See DataSet. Each instance comes once in an epoch, and each epoch has a different order."""
        epoch, place = divmod(number, len(self._training))
        order = np.random.default_rng((seed, epoch)).permutation(len(self._training))
        example = example_of(self._training[order[place]])
        if not self.augmented:
            return example
        rng = np.random.default_rng((seed, epoch, place))
        mirror = bool(self.spec.flip_pairs) and not self.annotations.unpaired
        if self.spec.crop is not None:
            return augment_person(example, self.spec, rng, mirror=mirror)
        example = augment(example if self.detail is None else reduced(example, self.detail), rng)
        return mirrored(example, self.spec.flip_pairs) if mirror and rng.random() < MIRRORED else example

    def calibration(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """See DataSet. No instance comes twice."""
        for index in random_subset(len(self._training), count, seed):
            yield example_of(self._training[index]).picture_for(self.spec)

    def validation(self, count: int | None = None) -> Iterator[Example]:
        """See DataSet."""
        for instance in self._validation[:count]:
            yield example_of(instance)

    def reordered(self, order: Sequence[int]) -> Labeled:
        """Return the data set with its keypoints in another order, see keypoint_order.reordered."""
        if list(order) == list(range(len(order))):
            return self
        others = None if self.separate is None else reordered(self.separate, order)
        found = Labeled(
            reordered(self.annotations, order), self.fold, crop=self.spec.crop, augmented=self.augmented,
            validation=others,
        )  # fmt: skip
        found.detail = self.detail
        return found

    def is_trained(self, path: Path) -> bool:
        """Return whether a picture is in the training part."""
        return path in self._training_paths

    @cached_property
    def _training_paths(self) -> frozenset[Path]:
        return frozenset(instance.picture.path for instance in self._training)


def example_of(instance: Instance) -> Example:
    """Open the picture of an instance. A labeled keypoint outside the picture counts as not visible."""
    image = read_image(instance.picture.path)
    return Example(
        image,
        instance.points,
        instance.labeled & inside(instance.points, image.shape[1], image.shape[0]),
        outlined=bool(instance.labeled.all()),
        area=instance.area or 0.0,
        box=instance.box,
        image_id=instance.picture.id,
        path=instance.picture.path,
    )
