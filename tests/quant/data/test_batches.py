"""Training samples: the runtime's input, ground truth for every head, and the order of a stream."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from edgehrnet import ModelSpec
from edgehrnet.preparation import formatted, prepare
from quant.data.batches import SampleHeads, Samples, sample
from quant.data.codecs import SDF_CLIP
from quant.data.documents.corners import SPEC, example
from quant.data.documents.scenes import Scene, document_scene
from quant.data.examples import Example

SMALL = SPEC.replace(input_size=(64, 64))
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
POINTS = np.array([[30.0, 20.0], [90.0, 25.0], [85.0, 70.0], [35.0, 65.0]])
BOX = (20.0, 10.0, 80.0, 70.0)
PERSON = Example(IMAGE, POINTS, np.ones(4, bool), box=BOX)


class Stream:
    """A data set whose picture is filled with its number."""

    spec = SMALL

    def __len__(self) -> int:
        return 0

    def training(self, seed: int, number: int) -> Example:
        return replace(PERSON, image=np.full_like(IMAGE, 100 * seed + number), box=None)

    def calibration(self, count: int, seed: int = 0) -> Iterator[np.ndarray]:
        yield from ()

    def validation(self, count: int | None = None) -> Iterator[Example]:
        yield from ()


class TestInput:
    @pytest.mark.parametrize("channels", [3, 4])
    @pytest.mark.parametrize("crop", [None, "hrnet", "udp"])
    @pytest.mark.parametrize("box", [None, BOX], ids=["whole", "box"])
    def test_without_augmentation_it_has_the_bytes_of_the_runtime(self, channels, crop, box):
        spec = ModelSpec("person", SPEC.keypoints, input_size=(96, 64), crop=crop, channels=channels)
        inputs, _ = prepare(IMAGE, spec, None if box is None or crop is None else [box])
        found = sample(replace(PERSON, box=box), spec)["image"].numpy()
        np.testing.assert_array_equal(found, formatted(inputs, spec)[0])

    def test_augmentation_turns_and_scales_the_runtime_s_crop(self):
        spec = ModelSpec("person", SPEC.keypoints, input_size=(96, 64), crop="hrnet")
        inputs, (crop,) = prepare(IMAGE, spec, [BOX], rotation=30.0, scale=1.3)
        found = sample(replace(PERSON, rotation=30.0, scale=1.3), spec)
        np.testing.assert_array_equal(found["image"].numpy(), inputs[0])
        assert not np.array_equal(inputs, prepare(IMAGE, spec, [BOX])[0])
        # The heatmaps peak where this crop puts the points.
        for heat, point in zip(found["heatmaps"].numpy(), spec.grid.to_cells(crop.forward(POINTS)), strict=True):
            row, column = divmod(int(heat.argmax()), 16)
            assert np.abs((column, row) - point).max() <= 0.5


class TestGroundTruth:
    def test_corners_outside_the_picture_have_no_heatmap(self):
        scene = next(s for s in map(document_scene, range(200)) if "outside" in s.conditions)
        found = sample(example(scene), SPEC.replace(input_size=(128, 256)))
        present = found["heatmaps"].amax(dim=(1, 2)).numpy() > 0.5
        np.testing.assert_array_equal(present, scene.visible)

    def test_an_empty_picture_is_outside_everywhere(self):
        heads = SampleHeads(auxiliary=True, outline=True)
        found = sample(replace(PERSON, box=None, visible=np.zeros(4, bool), empty=True), SMALL, heads)
        for name in ("heatmaps", "offset_weight", "aux_p3", "aux_p4", "boundary"):
            assert not found[name].any(), name
        assert (found["sdf"] == SDF_CLIP).all()
        assert found["outline_weight"] == 1

    @pytest.mark.parametrize("known", [True, False])
    def test_an_outline_with_an_unlabeled_corner_has_weight_zero(self, known):
        found = sample(replace(PERSON, box=None, outlined=known), SMALL, SampleHeads(outline=True))
        assert found["outline_weight"] == known

    def test_coarser_heads_peak_at_the_same_place(self):
        corners = np.array([[40.0, 30.0], [200.0, 35.0], [190.0, 100.0], [45.0, 95.0]])
        scene = Scene(np.zeros((128, 256, 3), np.uint8), corners, np.ones(4, bool), frozenset())
        found = sample(example(scene), SPEC.replace(input_size=(128, 256)), SampleHeads(auxiliary=True))
        for name, stride in (("heatmaps", 4), ("aux_p3", 8), ("aux_p4", 16)):
            for k, corner in enumerate(corners):
                row, column = divmod(int(found[name][k].argmax()), 256 // stride)
                center = np.array([column, row]) * stride + (stride - 1) / 2
                assert np.abs(center - corner).max() <= stride / 2, (name, k)


class TestStream:
    def numbers(self, samples: Samples) -> list[int]:
        """The number of each sample's picture."""
        return [int(samples[index]["image"][..., 0].max()) for index in range(len(samples))]

    def test_all_samples_of_a_batch_have_one_size(self):
        samples = Samples(Stream(), SMALL, 0, 8, batch=4, sizes=((64, 64), (64, 96)))
        shapes = [tuple(samples[index]["image"].shape[:2]) for index in range(8)]
        assert shapes == [(64, 64)] * 4 + [(64, 96)] * 4

    def test_processes_take_batches_in_turn(self):
        first, second = (
            Samples(Stream(), SMALL, 0, 8, batch=4, sizes=((64, 64),), rank=rank, world=2) for rank in range(2)
        )
        assert self.numbers(first) == [0, 1, 2, 3, 8, 9, 10, 11]
        assert self.numbers(second) == [4, 5, 6, 7, 12, 13, 14, 15]

    def test_one_process_takes_the_same_pictures_in_each_step_as_two(self):
        alone = self.numbers(Samples(Stream(), SMALL, 0, 16, batch=8, sizes=((64, 64),)))
        two = [
            self.numbers(Samples(Stream(), SMALL, 0, 8, batch=4, sizes=((64, 64),), rank=rank, world=2))
            for rank in range(2)
        ]
        assert alone == [*two[0][:4], *two[1][:4], *two[0][4:], *two[1][4:]]
        assert sorted(alone) == list(range(16))  # each once

    def test_a_stream_continues_where_it_stopped(self):
        whole = Samples(Stream(), SMALL, 0, 4, batch=2, sizes=((64, 64),), seed=2)
        rest = Samples(Stream(), SMALL, 2, 2, batch=2, sizes=((64, 64),), seed=2)
        assert self.numbers(whole) == [200, 201, 202, 203]
        assert self.numbers(rest) == [202, 203]

    @pytest.mark.parametrize("index", [-1, 4])
    def test_an_index_outside_the_stream_is_refused(self, index):
        with pytest.raises(IndexError, match=str(index)):
            Samples(Stream(), SMALL, 0, 4, batch=2, sizes=((64, 64),))[index]
