"""Build a TensorRT plan from an ONNX file on an NVIDIA GPU and run it, without torch.

Install:  pip install "edgehrnet[tensorrt-rtx]" (or [tensorrt] on Jetson)
Export:   python -m quant.export checkpoints/document-corners.pt --out files --targets tensorrt --precision int8
          on any machine with "edgehrnet[train]", then copy document-corners-int8.tensorrt.onnx to the GPU machine
Run:      python samples/nvidia.py document-corners-int8.tensorrt.onnx [PICTURE]
Prints:   the number of convolutions that run in INT8, milliseconds, and the corners.
"""

import sys
import tempfile
from pathlib import Path

from edgehrnet import Predictor, sample_picture
from edgehrnet.errors import EdgeHRNetError
from runtimes import tensorrt

source = Path(sys.argv[1])
picture = Path(sys.argv[2]) if len(sys.argv) > 2 else sample_picture()
plan = Path(source.name.removesuffix(".tensorrt.onnx") + ".engine")
cache = Path(tempfile.gettempdir()) / "edgehrnet-cache"
cache.mkdir(exist_ok=True)

try:
    if not tensorrt.is_current(plan, source):  # a plan fits one ONNX file, GPU and TensorRT version
        layers = tensorrt.build(source, plan)
        convolutions = [layer.precision for layer in layers if layer.type == "Convolution"]
        print(f"{plan}: {convolutions.count('i8')} of {len(convolutions)} convolutions run in INT8")
    with Predictor(plan, device="cuda:0", cache_dir=cache) as predictor:
        print(predictor.selfcheck())
        predictor.warmup()
        result = predictor.predict(picture)
except EdgeHRNetError as error:
    sys.exit(str(error))

print(f"inference {result.speed['inference']:.2f} ms")
print(result.keypoints.xy[0].round(1).tolist())
