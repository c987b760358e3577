"""Train, quantize, evaluate and export the networks."""

import sys
from importlib.util import find_spec

NEED_TORCH = ("train", "qat", "ptq", "export", "sensitivity", "speedup", "average")


def _check_torch() -> None:
    """End ``python -m quant.COMMAND`` with one line if the command needs torch and it is not installed.

    The command itself cannot say so, because its first imports fail. Only the command line is affected: while Python
    looks up a module for ``-m``, ``sys.argv[0]`` is ``-m``.
    """
    if sys.argv[:1] != ["-m"] or find_spec("torch") is not None:
        return
    command = next((argument for argument in sys.orig_argv if argument.startswith("quant.")), "")
    if command.removeprefix("quant.") in NEED_TORCH:
        sys.stderr.write(f"error: python -m {command} needs torch; type: pip install 'edgehrnet[train]'\n")
        raise SystemExit(2)


_check_torch()
