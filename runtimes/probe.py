"""Load a model file of unknown origin in a child process first, whose memory and time are limited.

A small file can compute tensors of any size, and engines have crashed on damaged files. Both end the child, and not the
process that asked. A file that passed is not probed again: its SHA-256 is kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runtimes import ENGINES, load
from runtimes.digests import sha256_of
from runtimes.errors import EdgeHRNetError, ModelFileError
from runtimes.onnx_external import external_files
from runtimes.ports import Size
from runtimes.user_cache import user_cache

PROBED = (".onnx", ".xml")  # other files are checked while they are read, or are programs anyway, such as plans
MEMORY = 1 << 30  # bytes that loading a file and running it once may take, and `PER_BYTE` for each byte of the file
PER_BYTE = 6
SECONDS = 60.0
TRUST = "if you trust the file, pass trusted=True (--trusted), which loads it without limits"
_UNUSABLE, _MEMORY, _OTHER = 3, 4, 5  # exit statuses of the child


def require_harmless(path: Path, input_size: Size | None = None, open_size: Size | None = None) -> None:
    """Load a file in a child process and run it once on the CPU, unless it has passed before.

    Nothing happens where no child can be started: without a Python program of its own, as in an application that
    contains Python.

    Args:
        path: Model file.
        input_size: As for `runtimes.load`.
        open_size: As for `runtimes.load`.

    Raises:
        ModelFileError: The file takes more memory or time than it may, ends its process, or does not run on the CPU.
    """
    if path.suffix.lower() not in PROBED or not path.is_file() or not _python():
        return
    try:
        files = [path, *([path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else external_files(path))]
        size = sum(file.stat().st_size for file in files)
        passed = _passed(files, input_size, open_size)
    except OSError:
        return  # loading says which file cannot be read
    if passed is not None and passed.exists():
        return
    memory = MEMORY + PER_BYTE * size
    _run_child([str(path.absolute()), str(memory), _text(input_size), _text(open_size)], path, memory)
    if passed is not None:
        with suppress(OSError):  # a cache that is read-only or full
            passed.parent.mkdir(parents=True, exist_ok=True)
            passed.touch()


def _python() -> str | None:
    """Return the program that runs Python, None if this process is another program."""
    program = sys.executable or ""
    is_python = not getattr(sys, "frozen", False) and Path(program).stem.lower().startswith(("python", "pypy"))
    return program if is_python else None


def _passed(files: Sequence[Path], *sizes: Size | None) -> Path | None:
    """Return the empty file that says that model files have passed, None if the user has no cache."""
    cache = user_cache()
    facts = f"{sha256_of(files)} {sizes} {MEMORY} {PER_BYTE} {SECONDS}"
    return None if cache is None else cache / "probed" / hashlib.sha256(facts.encode()).hexdigest()


def _run_child(arguments: list[str], path: Path, memory: int) -> None:
    """Run `main` in a child process. Raise ModelFileError if it says that the file is not usable, or ends badly."""
    import subprocess  # takes a while to import, and most files are not probed

    # The child imports what this process would, and nothing from the folder that the user happens to be in.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [_python() or "", "-m", "runtimes.probe", *arguments],
            cwd=Path(__file__).parents[1],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelFileError(f"{path} takes more than {SECONDS:g} s to load and run once; {TRUST}") from None
    except OSError:
        return  # no process can be started
    if done.returncode == _UNUSABLE:
        text = done.stdout.decode("utf-8", "replace").strip()
        raise ModelFileError(f"{text} (on the CPU, in a process of its own; {TRUST})")
    if done.returncode == _MEMORY:
        raise ModelFileError(f"{path} takes more than {memory >> 20} MB of memory to load and run once; {TRUST}")
    if done.returncode not in (0, _OTHER):
        raise ModelFileError(f"{path} ends the process that loads it (status {done.returncode}); {TRUST}")


def main(arguments: Sequence[str]) -> int:
    """Load a file and run it once, within limits.

    Args:
        arguments: Path, bytes of memory, input size and open size.
    """
    path, memory = Path(arguments[0]), int(arguments[1])
    input_size, open_size = (_size(text) for text in arguments[2:])
    engine = {".onnx": "onnxruntime", ".xml": "openvino"}[path.suffix.lower()]
    try:
        importlib.import_module(engine)
        importlib.import_module(ENGINES[path.suffix.lower()].module)
        _limit(memory)
        runtime = load(path, threads=1, input_size=input_size, open_size=open_size)
        runtime.run(runtime.describe().input.blank())
    except MemoryError:
        return _MEMORY
    except ModelFileError as error:
        if "alloc" in str(error).lower():  # of both engines
            return _MEMORY
        print(error, flush=True)
        return _UNUSABLE
    except (ImportError, EdgeHRNetError):
        return _OTHER  # nothing that the file is to blame for; loading raises it again
    return 0


def _limit(memory: int) -> None:
    """Limit what this process may take in addition to what it has. Only Linux counts it."""
    if sys.platform != "linux":
        return
    import resource

    _, _, rest = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").partition("VmData:")
    limit = (int(rest.split()[0]) << 10) + memory
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(4 * SECONDS)  # ends a child whose parent was killed
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def _text(size: Size | None) -> str:
    return "" if size is None else f"{size[0]}x{size[1]}"


def _size(text: str) -> Size | None:
    height, _, width = text.partition("x")
    return (int(height), int(width)) if text else None


if __name__ == "__main__":
    # The engines' own threads may hang when Python ends after a failed allocation.
    status = main(sys.argv[1:])
    os._exit(status)
