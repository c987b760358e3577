#!/usr/bin/env bash
# Pillow: saving a JPEG to a disk that is nearly full succeeds, and the file is cut.
#
# Guess:  Image.save raises OSError if the disk cannot take the file, for every format.
# Seen:   Pillow 13.0.0. A limit on the size of files stands for the disk: a write that crosses it is cut, and the next
#         one fails. JPEG is given to the file in buffers of 64 kB, and how much of them was written is not looked at. If
#         the last buffer is the one that is cut, save() returns, the file ends in the middle, and only load() of a later
#         program notices, with "truncated". The same picture as PNG raises, and so does Python's write() of the bytes.
# Matters: A program that fills its disk with pictures loses the last one without an error. Save to io.BytesIO first, and
#         write the bytes with Python, which does look at the count.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pillow==13.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import os
import resource
import signal

from PIL import Image

ROOM = 30_000  # bytes that the disk still takes
picture = Image.effect_noise((250, 250), 60).convert("RGB")
memory = io.BytesIO()
picture.save(memory, "JPEG", quality=90)
whole = len(memory.getvalue())
print(f"{whole} bytes of JPEG, room for {ROOM}")
assert ROOM < whole < 65_536  # one buffer

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is an error, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


def saved(name, write):
    """Return what became of a file: the error, or the bytes on disk."""
    try:
        write(name)
    except OSError as error:
        return type(error).__name__
    return os.path.getsize(name)


found = {
    "JPEG by Pillow": saved("a.jpg", lambda name: picture.save(name, quality=90)),
    "PNG by Pillow": saved("a.png", picture.save),
    "the bytes by Python": saved("b.jpg", lambda name: open(name, "wb").write(memory.getvalue())),
}
for name, result in found.items():
    print(f"{name:20} {result}, of {whole} bytes" if isinstance(result, int) else f"{name:20} {result}")
assert found == {"JPEG by Pillow": ROOM, "PNG by Pillow": "OSError", "the bytes by Python": "OSError"}, found
try:
    Image.open("a.jpg").load()
except OSError as error:
    print(f"opened again         {error}")
else:
    raise AssertionError("the cut file loads")
PYTHON
