"""Results of videos, made without a network."""

import numpy as np
import pytest

from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.picture.picture import Picture
from edgehrnet.result import Keypoints, Result
from edgehrnet.spec import ModelSpec

SPEC = ModelSpec("pose", ("head", "hand", "foot"), skeleton=((0, 1), (0, 2)), input_size=(128, 128))
OUTLINE = ModelSpec("sheet", ("a", "b", "c", "d"), cyclic=True, input_size=(128, 128))
SIZE = (128, 128)  # height, width


@pytest.fixture
def make_result():
    """A function that makes the result of one frame from points and confidences."""

    def make(xy, conf=None, *, outline=False, crop=None, source=None):
        spec = OUTLINE if outline else SPEC.replace(crop=crop)
        xy = np.asarray(xy, np.float64).reshape(-1, len(spec.keypoints), 2)
        conf = np.ones(xy.shape[:2]) if conf is None else np.asarray(conf, np.float64).reshape(xy.shape[:2])
        return Result(
            keypoints=Keypoints(xy, conf.astype(np.float32), SIZE, spec.keypoints),
            heatmaps=np.arange(len(spec.keypoints), dtype=np.float32)[None, :, None, None].repeat(len(xy), 0),
            offsets=np.arange(2 * len(spec.keypoints), dtype=np.float32)[None, :, None, None].repeat(len(xy), 0),
            hf=None,
            outputs={},
            transforms=(Letterbox.fit(*SIZE, SIZE),) * len(xy),
            speed={},
            source=source,
            picture=Picture.of(np.full((*SIZE, 3), 90, np.uint8)),
            spec=spec,
        )

    return make
