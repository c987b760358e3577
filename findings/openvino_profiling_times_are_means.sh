#!/usr/bin/env bash
# OpenVINO: the times of layers in get_profiling_info are means over all inferences, not those of the last one.
#
# Guess:  With PERF_COUNT, InferRequest.get_profiling_info() returns how long each layer took in the inference that this
#         request has just run, as the times belong to the request.
# Seen:   openvino 2026.4.1 (numpy 2.4.6), CPU. real_time is the mean over all inferences since the model was compiled, also
#         those of other requests, in whole microseconds. Here the first request runs a picture of 1024x1024, and a second
#         one pictures of 32x32. The second request's convolution is reported to take many times longer than in a model
#         that ran only small pictures, and its time falls as 1 / n with each further inference.
# Matters: A warm-up, an earlier picture of another size or another thread is part of every later number. A slow inference
#         cannot be found in the numbers of its own request.
# Multiply by the number of inferences so far, and take the difference of two calls.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import openvino as ov
from openvino import opset13

image = opset13.parameter([1, 8, -1, -1], np.float32, name="image")
weights = opset13.constant(np.ones((8, 8, 3, 3), np.float32))
maps = opset13.convolution(image, weights, [1, 1], [1, 1], [1, 1], [1, 1])
model = ov.Model([opset13.result(maps)], [image])


def compiled():
    return ov.Core().compile_model(model, "CPU", {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1})


def microseconds(request, side):
    """Run once, and return what is then reported for the convolution."""
    request.infer([np.ones((1, 8, side, side), np.float32)])
    times = [one.real_time for one in request.get_profiling_info() if one.node_type == "Convolution"]
    return sum(time.total_seconds() for time in times) * 1e6


small = compiled()
alone = [microseconds(small.create_infer_request(), 32) for _ in range(10)][-1]
both = compiled()
large = microseconds(both.create_infer_request(), 1024)
second = both.create_infer_request()
after = [microseconds(second, 32) for _ in range(9)]
print(f"32x32 in a model of its own: {alone:.0f} us")
print(f"1024x1024: {large:.0f} us, then 32x32 in another request: {', '.join(f'{time:.0f}' for time in after)} us")
assert large > 100 * max(alone, 1), "the large picture takes much longer"
for count, time in enumerate(after, 2):
    assert 0.9 < time * count / large < 1.5, "the behavior has changed: the times are no means over all inferences"
PYTHON
