"""Run the model on an integrated or discrete Intel GPU, and check it with the golden pair stored in the file.

Install:  pip install "edgehrnet[openvino]", and the GPU's driver (OpenCL runtime)
Run:      python samples/intel_gpu.py [gpu.1]
Prints:   the GPU, the distance of its keypoints from the golden pair, milliseconds, and the corners. Without a GPU,
          the devices that are present.
"""

import sys
import tempfile
from pathlib import Path

from edgehrnet import Predictor, sample_picture
from edgehrnet.errors import DeviceError

device = sys.argv[1] if len(sys.argv) > 1 else "gpu"
# Compiling for a GPU takes seconds. With this cache, the next start takes a tenth of a second.
cache = Path(tempfile.gettempdir()) / "edgehrnet-cache"
cache.mkdir(exist_ok=True)

try:
    predictor = Predictor("document-corners", device=device, cache_dir=cache)
except DeviceError as error:
    sys.exit(f"{error}; if only INT8 fails on this GPU, try document-corners-fp16")

with predictor:
    check = predictor.selfcheck()  # opening a Predictor on a GPU raises if this check fails
    print(f"{check.device}: {check.max_px:.2f} px from the float network, correlation {check.correlation:.4f}")
    predictor.warmup()
    result = predictor.predict(sample_picture())
    print(f"inference {result.speed['inference']:.2f} ms")
    print(result.keypoints.xy[0].round(1).tolist())
