#!/usr/bin/env bash
# sleap-io, imageio: frame 6 of a phone's video is another picture, depending on which reader is installed.
#
# Guess:  Frame i of a video is the i-th picture stored in it, whichever of sleap-io's plugins (opencv, FFMPEG, pyav) reads it.
# Seen:   sleap-io 0.9.5, imageio 2.38.1 with imageio-ffmpeg 0.8.1, PyAV 18.1.0, OpenCV 5.0.0.93, on a video of 12 pictures with
#         variable frame rate, as phones and screen recorders write. opencv and pyav: the 12 pictures in order. FFMPEG: it
#         repeats and leaves out pictures to keep a constant rate. Index 6 is picture 5, index 11 is picture 6, the second
#         half cannot be reached, because the count is still 12, and no warning is given. imageio alone yields more
#         pictures than the video has, and still leaves one out.
# Matters: Labels are stored by frame index. Opened where another plugin is installed, they lie on other pictures.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    sleap-io==0.9.5 imageio==2.38.1 imageio-ffmpeg==0.8.1 av==18.1.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from fractions import Fraction

import av
import imageio.v3 as iio
import numpy as np
import sleap_io

TICK = Fraction(1, 90000)
TIMES = [0, 1, 2, 3, 4, 5, 10, 15, 20, 25, 26, 27]  # in thirtieths of a second: the camera slows down in the dark

with av.open("phone.mp4", "w") as video:
    stream = video.add_stream("libx264", rate=30)
    stream.width = stream.height = 64
    stream.pix_fmt, stream.time_base, stream.codec_context.time_base = "yuv420p", TICK, TICK
    for number, time in enumerate(TIMES):  # picture n has the gray level 20 n
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * number, np.uint8), format="rgb24")
        frame.pts, frame.time_base = time * 3000, TICK
        video.mux(stream.encode(frame))
    video.mux(stream.encode())


def number(picture):
    """Which picture it is, from its gray level."""
    return round(float(np.asarray(picture).mean()) / 20)


found = {}
for plugin in ("opencv", "pyav", "FFMPEG"):
    video = sleap_io.load_video("phone.mp4", plugin=plugin)
    found[plugin] = [number(video[index]) for index in range(len(video))]
    print(f"sleap-io, {plugin:6}", *found[plugin])
alone = [number(picture) for picture in iio.imiter("phone.mp4", plugin="FFMPEG")]
print("imageio, FFMPEG ", *alone)
assert found["opencv"] == found["pyav"] == list(range(12)), "the behavior has changed"
assert len(found["FFMPEG"]) == 12 and found["FFMPEG"][6] == 5 and max(found["FFMPEG"]) == 6, "the behavior has changed"
assert len(alone) > 12 and 10 not in alone, "the behavior has changed"
PYTHON
