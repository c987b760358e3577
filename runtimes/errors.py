"""Define the root exception, and the errors of model files and devices.

::

    EdgeHRNetError
    ├── ModelFileError           the model file cannot be used: corrupt, incomplete, or of another format
    │   ├── MissingFileError     (also FileNotFoundError)
    │   └── UnknownSuffixError   (also ValueError)
    ├── DeviceError              (also ValueError) the engine does not know the device or cannot use it
    │   └── AbsentDeviceError    the engine knows the device, but this machine does not have it
    ├── MissingExtraError        (also ImportError) the text names the ``pip install`` command
    ├── WriteError               (also OSError) a file cannot be written; an existing one is as it was before
    ├── BatchError               (also ValueError) run() was given an array that does not fit the model's input
    ├── RemoteError              (also ConnectionError) a server does not answer, or answers with an error
    │   └── RemoteTimeoutError   (also TimeoutError) a server did not answer in time
    └── ClosedError              (also RuntimeError) the runtime was used after close(), or by a forked process

`edgehrnet.errors` re-exports these errors and adds those of pictures, arguments and specs.
"""


class EdgeHRNetError(Exception):
    """Base class of every error that this project raises on purpose."""


class ModelFileError(EdgeHRNetError):
    """The model file cannot be used."""


class MissingFileError(ModelFileError, FileNotFoundError):
    """The model file does not exist. EdgeHRNet does not download files."""


class UnknownSuffixError(ModelFileError, ValueError):
    """No engine runs files with this suffix."""


class DeviceError(EdgeHRNetError, ValueError):
    """The device is absent, or the engine of this file cannot use it."""


class AbsentDeviceError(DeviceError):
    """The engine knows the device, but this machine does not have it."""


class MissingExtraError(EdgeHRNetError, ImportError):
    """An optional dependency is not installed."""


class WriteError(EdgeHRNetError, OSError):
    """A file cannot be written. An existing file of the same name is as it was before."""


class BatchError(EdgeHRNetError, ValueError):
    """The array given to run() does not fit the model's input."""


class RemoteError(EdgeHRNetError, ConnectionError):
    """A server does not answer, or it answers with an error, whose text is part of this one."""


class RemoteTimeoutError(RemoteError, TimeoutError):
    """A server did not answer in time."""


class ClosedError(EdgeHRNetError, RuntimeError):
    """The runtime was used after close(), or a ``.pt`` file was used in a process forked after it was loaded."""

    def __init__(self, text: str = "this runtime is closed; load the file again") -> None:
        super().__init__(text)
