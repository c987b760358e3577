"""``edgehrnet serve``: serve models over REST and gRPC."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from edgehrnet.serving.models import open_models
from edgehrnet.serving.options import Options
from edgehrnet.serving.server import Running, serve
from runtimes.remote_address import TOKEN

SUMMARY = "serve models over REST and gRPC (Open Inference Protocol v2)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    default = Options()
    parser.add_argument(
        "model", nargs="+", metavar="MODEL", help="model file or shipped model, or NAME=MODEL for another name"
    )
    parser.add_argument(
        "--host", default=default.host, help="address to listen on, 0.0.0.0 for all (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=default.port, help="port for REST (default: %(default)s)")
    parser.add_argument("--grpc-port", type=int, default=8001, help="port for gRPC (default: %(default)s)")
    parser.add_argument(
        "--no-grpc", dest="grpc_port", action="store_const", const=None, help="serve REST only (default: both)"
    )
    parser.add_argument("--device", help="device to run on, see edgehrnet predict (default: cpu)")
    parser.add_argument(
        "--spec", type=Path, metavar="JSON", help="description of a file of another project (default: the file's own)"
    )
    for name, what in (
        ("workers", "requests that are worked on at a time"),
        ("queue", "requests that may wait; further ones are refused with status 429"),
        ("max-body", "bytes of a request"),
        ("max-pixels", "pixels of a picture"),
    ):
        value = getattr(default, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N", help=f"{what} (default: %(default)s)")
    parser.add_argument(
        "--timeout",
        type=float,
        default=default.timeout,
        metavar="SECONDS",
        help="time for a request to arrive, and then again for its answer (default: %(default)s)",
    )
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="certificates for TLS (default: no TLS)")
    parser.add_argument("--key", type=Path, metavar="PEM", help="private key for TLS (default: no TLS)")
    parser.epilog = f"If the environment variable {TOKEN} is set, requests need it as their bearer token."


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, and return 0."""
    names = ("host", "port", "grpc_port", "max_body", "max_pixels", "workers", "queue", "timeout", "certificate", "key")
    options = Options(**{name: getattr(args, name) for name in names}, token=os.environ.get(TOKEN) or None)
    models = open_models(args.model, options, args.device, args.spec)
    secure = "s" if options.certificate else ""

    def started(running: Running) -> None:
        for name in models:
            print(f"http{secure}://{options.host}:{running.port}/v2/models/{name}")
            if running.grpc_port is not None:
                print(f"grpc{secure}://{options.host}:{running.grpc_port}/{name}")
        print("ready; Ctrl-C ends the server", flush=True)

    serve(models, options, started)
    return 0
