#!/usr/bin/env bash
# OpenVINO: importing the package and converting a model fork the process, to send usage statistics.
#
# Guess:  openvino.convert_model is a local computation. It starts no process and opens no connection.
# Seen:   openvino 2026.4.1 with openvino-telemetry 2025.2.0.
#         The import forks the Python process once, and the conversion of a model with one operation six more times. Each
#         child sends a message. `opt_in_out --opt_out`, which comes with the package, ends both. So does an environment
#         variable of a CI system, such as TF_BUILD, which the package takes for one.
# Matters: The children are copies of the whole process. Beside torch, they take longer than the conversion itself. A
#         process with threads is forked, which Python 3.12 warns about. Where nothing may leave the machine, something
#         tries to.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    openvino==2026.4.1 openvino-telemetry==2025.2.0 onnx==1.22.0 numpy==2.4.6
cd "$folder"
export HOME="$folder"
unset TF_BUILD CI GITHUB_ACTIONS JENKINS_URL
cat > count.py <<'PYTHON'
import os

forks = []
os.register_at_fork(before=lambda: forks.append(1))

import openvino as ov
from onnx import TensorProto, helper, save

imported = len(forks)
sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", sides[:1], sides[1:])
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "relu.onnx")
ov.convert_model("relu.onnx")
print(imported, len(forks) - imported)
PYTHON
usual=$("$folder/venv/bin/python" count.py | tail -1)
marked=$(TF_BUILD=1 "$folder/venv/bin/python" count.py | tail -1)
"$folder/venv/bin/opt_in_out" --opt_out > /dev/null
refused=$("$folder/venv/bin/python" count.py | tail -1)
echo "forks at import and at conversion: $usual, as a CI job: $marked, after opting out: $refused"
[ "$usual" = "1 6" ] && [ "$marked" = "0 0" ] && [ "$refused" = "0 0" ]
