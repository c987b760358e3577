"""Run the INT8 model on an Intel or AMD CPU with a limited number of threads, and time it.

Install:  pip install "edgehrnet[openvino]"
Run:      python samples/intel_cpu.py [THREADS]
Prints:   the number of convolutions per precision, milliseconds per stage, and the corners.
"""

import statistics
import sys

from edgehrnet import Predictor, sample_picture

threads = int(sys.argv[1]) if len(sys.argv) > 1 else None

with Predictor("document-corners", threads=threads) as predictor:
    info = predictor.info()
    print(f"{info['engine']} {info['version']} on {info['settings']['device_name']}")
    for precision, count in info["settings"]["convolutions"].items():
        print(f"{count} convolutions in {precision}")
    predictor.warmup()
    results = [predictor.predict(sample_picture()) for _ in range(20)]

for stage in results[0].speed:
    print(f"{stage:10s} {statistics.median(result.speed[stage] for result in results):6.2f} ms")
print(results[0].keypoints.xy[0].round(1).tolist())
