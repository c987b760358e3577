"""Check on an NVIDIA GPU that all files of a checkpoint agree, and time each of them.

Install:  pip install "edgehrnet[train,tensorrt-rtx]", torch with CUDA, and onnxruntime-gpu instead of onnxruntime
Run:      python samples/gpu_check.py checkpoints/document-corners.pt OUT [PICTURES] [PRECISION ...]
Prints:   one line per file, then milliseconds of one inference on each engine. The parity report is written to OUT.
"""

import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

import runtimes
from edgehrnet.errors import EdgeHRNetError
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.deploy.export_module import Deployed
from edgehrnet.models.deploy.loading import deployable
from quant.data.documents.corners import DocumentCorners
from quant.files.build import BuildOptions, build_files, report
from quant.files.parity import agreement
from quant.reporting.parity_page import write_report

checkpoint, out = load_checkpoint(sys.argv[1]), Path(sys.argv[2])
pictures = int(sys.argv[3]) if len(sys.argv) > 3 else 64
examples = list(DocumentCorners().validation(pictures))
proof = [example.image for example in examples[:8]]
options = BuildOptions(out, "model", proof, ("onnx", "tensorrt"), tuple(sys.argv[4:]) or ("fp32", "fp16", "int8"))
files = []
for file in build_files(checkpoint, options):
    print(report(file))
    files.append(file)
print(write_report(agreement(checkpoint, files, examples), out / "model.parity.md", "model"))

height, width = checkpoint.spec["input_size"]
image = np.zeros((1, height, width, 4), np.uint8)
runs = {}
if torch.cuda.is_available():
    network = Deployed(deployable(checkpoint), (0.0,) * 3, (1.0,) * 3).eval().cuda()
    pixels = torch.from_numpy(image).cuda()
    for name, net in (("torch fp32", network), ("torch fp32, compiled", torch.compile(network))):
        runs[name] = partial(torch.inference_mode()(lambda net: {k: v.cpu() for k, v in net(pixels).items()}), net)
for file in files:
    if file.certificate is None:
        continue
    try:
        runs[file.path.name] = partial(runtimes.load(file.path, "cuda").run, image)
    except EdgeHRNetError as error:
        print(f"{file.path.name}: not run: {error}")

for name, run in runs.items():
    times = []
    for _ in range(220):
        start = time.perf_counter()
        run()  # includes the copies to and from the GPU
        times.append(time.perf_counter() - start)
    print(f"{name:32s} {1000 * statistics.median(times[20:]):7.3f} ms")
