"""Import OpenVINO, make its Cores, and compile with them."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import Any
from weakref import WeakSet

from runtimes.errors import DeviceError, MissingExtraError


def openvino() -> ModuleType:
    """Import OpenVINO.

    Raises:
        MissingExtraError: It is not installed.
        DeviceError: It cannot be imported here.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError(
            f"an .xml file needs OpenVINO ({error}); type: pip install 'edgehrnet[openvino]'"
        ) from None
    except (
        RuntimeError
    ) as error:  # a user number without a home: findings/openvino_cannot_be_imported_without_a_home.sh
        raise DeviceError(
            f"OpenVINO cannot be imported: {error} Set the environment variable HOME to any folder"
        ) from None
    module: ModuleType = openvino
    return module


def new_core() -> Any:
    """Make an openvino.Core whose plugin for the CPU is loaded.

    The plugin is loaded by a thread that ends here. On CPUs with AVX-512, OpenVINO gives the thread that loads it a
    signal stack, and takes the stack away with the last model of that Core. If Cores end in the order in which they
    were made, or in another thread, the first thread keeps a stack that no longer exists, and its next signal handler
    in Python, such as that of Ctrl-C, ends the process with SIGSEGV.

    Make one for each model on the CPU. When a Core ends, so do the idle threads that its models leave, for which a
    forked process would wait forever.
    """
    core = openvino().Core()
    loading = threading.Thread(target=_load_plugin, args=(core,))
    loading.start()
    loading.join()
    core.set_property({"ENABLE_MMAP": False})  # of cached files, see `openvino_file.read_file`
    return core


def _load_plugin(core: Any) -> None:
    with suppress(RuntimeError):  # a build of OpenVINO without the CPU
        core.get_property("CPU", "FULL_DEVICE_NAME")


def compile_model(core: Any, model: Any, device: str, settings: dict[str, Any]) -> Any:
    """Compile a model. In processes that are forked later, it is never released.

    Releasing it waits for its threads, and a fork does not copy them.
    """
    compiled = core.compile_model(model, device, settings)
    _compiled_models().add(compiled)
    return compiled


@cache
def _compiled_models() -> WeakSet[Any]:
    """Return the set of all compiled models, which every forked process keeps."""
    models: WeakSet[Any] = WeakSet()

    def keep() -> None:
        for model in models:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))  # a list would be released at the end of the process

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=keep)
    return models
