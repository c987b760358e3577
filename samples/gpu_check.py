"""On an NVIDIA GPU: do all files of a checkpoint agree there, and how fast is each?

Install:  pip install "edgehrnet[train,tensorrt-rtx]", torch with CUDA, onnxruntime-gpu in place of onnxruntime
Run:      python samples/gpu_check.py checkpoints/document-corners.pt OUT [PICTURES]
Prints:   a line for each file, then milliseconds of one inference on each engine; OUT gets the parity report.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

import runtimes
from edgehrnet.errors import EdgeHRNetError
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.deploy.export_module import Deployed
from edgehrnet.models.deploy.loading import deployable
from quant.data.documents.corners import DocumentCorners
from quant.files.build import Order, build_files, report
from quant.files.parity import agreement
from quant.reporting.parity_page import write_report

checkpoint, out = load_checkpoint(sys.argv[1]), Path(sys.argv[2])
pictures = int(sys.argv[3]) if len(sys.argv) > 3 else 64
order = Order(out, "model", ("onnx", "tensorrt"), ("fp32", "fp16", "int8"))
files = []
for file in build_files(checkpoint, order):
    print(report(file))
    files.append(file)
examples = list(DocumentCorners().held_back(pictures))
print(write_report(agreement(checkpoint, files, examples), out / "model.parity.md", "model"))

network = deployable(checkpoint)
height, width = checkpoint.spec["input_size"]
image = np.zeros((1, height, width, 4), np.uint8)
runs = {}
if torch.cuda.is_available():
    network = Deployed(network, (0.0,) * 3, (1.0,) * 3).eval().cuda()
    for name, net in (("torch fp32", network), ("torch fp32, compiled", torch.compile(network))):
        pixels = torch.from_numpy(image).cuda()
        runs[name] = torch.inference_mode()(lambda net=net, pixels=pixels: {k: v.cpu() for k, v in net(pixels).items()})
for file in files:
    if file.certificate is None:
        continue
    try:
        runtime = runtimes.load(file.path, "cuda")
    except EdgeHRNetError as error:
        print(f"{file.path.name}: not run: {error}")
        continue
    runs[file.path.name] = lambda runtime=runtime: runtime.run(image)

for name, run in runs.items():
    times = [-time.perf_counter() + (run(), time.perf_counter())[1] for _ in range(220)]
    print(f"{name:32s} {1000 * statistics.median(times[20:]):7.3f} ms")  # with the copies from and to the host
