"""Deploy on an Intel GPU, integrated or not: compiled once, checked against the picture that the file carries.

Install:  pip install "edgehrnet[openvino]", and the GPU's driver (OpenCL runtime)
Run:      python samples/intel_gpu.py [gpu.1]
Prints:   the GPU, how far its answer is from the float network's, and milliseconds; without a GPU, what is here.
"""

import sys
import tempfile
from pathlib import Path

from edgehrnet import Predictor, sample_picture
from edgehrnet.errors import DeviceError

device = sys.argv[1] if len(sys.argv) > 1 else "gpu"
# Compiling for a GPU takes seconds; from this folder, it takes a tenth of one the next time.
cache = Path(tempfile.gettempdir()) / "edgehrnet-cache"
cache.mkdir(exist_ok=True)

try:
    predictor = Predictor("document-corners", device=device, cache_dir=cache)
except DeviceError as error:
    sys.exit(f"{error}; the fp16 file may do where the INT8 one does not: document-corners-fp16")

with predictor:
    report = predictor.selfcheck()  # a GPU that failed it would have raised above
    print(f"{report.device}: {report.max_px:.2f} px from the float network, correlation {report.correlation:.4f}")
    predictor.warmup()
    result = predictor.predict(sample_picture())
    print(f"inference {result.speed['inference']:.2f} ms")
    print(result.keypoints.xy[0].round(1).tolist())
