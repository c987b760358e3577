#!/usr/bin/env bash
# OpenVINO: importing it fails where the user has no home folder, because of its statistics.
#
# Guess:  Importing an inference library needs no home folder. A service or a container often runs as a user number that is
#         in no /etc/passwd, with an environment of its own.
# Seen:   openvino 2026.4.1 with openvino-telemetry 2025.2.0. `import openvino` raises RuntimeError ("Could not determine home
#         directory."), from the module that asks whether statistics may be sent. With HOME=/, which cannot be written, the
#         import works and prints warnings about the same module.
# Matters: The model runs on the desk and not as a service. Set HOME, to any folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    openvino==2026.4.1 openvino-telemetry==2025.2.0 numpy==2.4.6
cat >"$folder/import.py" <<'PYTHON'
import os
import sys

import numpy  # its import needs none

assert os.getuid() == 54321  # a number that no user has
os.environ.pop("HOME", None)
if sys.argv[1] == "home":
    os.environ["HOME"] = "/"
try:
    import openvino
except RuntimeError as error:
    print(f"{sys.argv[1]:7} RuntimeError: {error}")
else:
    print(f"{sys.argv[1]:7} imported, {'.'.join(openvino.__version__.split('.')[:2])}")
PYTHON
found=$(for home in nothing home; do
    unshare --map-user=54321 "$folder/venv/bin/python" "$folder/import.py" "$home" 2>/dev/null
done)
echo "$found"
[ "$found" = "nothing RuntimeError: Could not determine home directory.
home    imported, 2026.4" ] || { echo "the behavior has changed"; exit 1; }
