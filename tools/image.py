"""Build the image of a Dockerfile in a folder, where no container daemon is at hand, and try it.

    python tools/image.py FOLDER [--bind PATH ...] [--env NAME=VALUE ...]

Needs root, debootstrap and a mirror of Debian. The steps are those of the Dockerfile: FROM becomes debootstrap, RUN a
chroot. ``--bind`` shows files of this machine to the steps, read-only below /lent, and ``--env`` sets variables such as
PIP_CERT=/lent/certificates.pem. The result is then run as the Dockerfile says, with a root that cannot be written: it
has to become ready, find the corners of a picture, and end with status 0 on SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "edgehrnet" / "assets" / "document.jpg"
ADDRESS = "http://127.0.0.1:8000/v2"
LARGEST = 400  # MB of the image
LENT = "lent"


@dataclass
class Image:
    """A stage of the Dockerfile, as a folder."""

    folder: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    user: str = "0"
    command: dict[str, list[str]] = field(default_factory=dict)
    """ENTRYPOINT and CMD."""


def instructions(text: str) -> list[tuple[str, str]]:
    r"""Return the instructions of a Dockerfile as (keyword, rest).

    >>> instructions("# a\nFROM debian AS b\nRUN x && \\\n    y")
    [('FROM', 'debian AS b'), ('RUN', 'x && y')]
    """
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    parts = [line.split(None, 1) for line in lines if line.strip()]
    return [(keyword, " ".join(rest.split()) if keyword == "RUN" else rest) for keyword, rest in parts]


def build(text: str, folder: Path, bound: list[Path], lent: list[str]) -> Image:
    """Run the steps below a folder, and return the last stage."""
    stages: dict[str, Image] = {}
    image = Image(folder)
    for number, (keyword, rest) in enumerate(instructions(text)):
        print(keyword, rest, flush=True)
        if keyword == "FROM":
            base, *name = rest.split(" AS ")
            image = Image(folder / f"stage{number}")
            stages[name[0] if name else ""] = image
            _bootstrap(base.partition(":")[2], image.folder)
        elif keyword == "RUN":
            environment = image.environment | dict(pair.split("=", 1) for pair in lent)
            with ExitStack() as stack:
                for path in bound:
                    _lend(path, image.folder, stack)
                subprocess.run(["chroot", image.folder, "/bin/sh", "-c", rest], check=True, env=environment, stdout=2)
        elif keyword == "COPY":
            _copy(rest.split(), image.folder, stages)
        elif keyword == "ENV":
            image.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif keyword == "USER":
            image.user = rest
        elif keyword in ("ENTRYPOINT", "CMD"):
            image.command[keyword] = json.loads(rest)
    return image


def _bootstrap(suite: str, folder: Path) -> None:
    """Install a release of Debian. Images called slim have no documentation and no translations."""
    subprocess.run(["debootstrap", "--variant=minbase", suite.removesuffix("-slim"), folder], check=True, stdout=2)
    if suite.endswith("-slim"):
        _remove_documentation(folder)


def _remove_documentation(folder: Path) -> None:
    for name in ("doc", "info", "locale", "man"):
        shutil.rmtree(folder / "usr" / "share" / name, ignore_errors=True)


def _lend(path: Path, folder: Path, stack: ExitStack) -> None:
    """Show a path of this machine to one step, below `LENT`.

    It cannot be written there: scripts of Debian's packages would otherwise change the certificates of this machine.
    """
    target = folder / LENT / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir() if path.is_dir() else target.touch()
    # Never rmtree: it would delete what is still mounted. rmdir and unlink refuse that.
    stack.callback(lambda: target.rmdir() if target.is_dir() else target.unlink())
    subprocess.run(["mount", "--bind", path, target], check=True)
    stack.callback(lambda: subprocess.run(["umount", target], check=True))
    subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)


def _copy(words: list[str], folder: Path, stages: dict[str, Image]) -> None:
    start = ROOT
    if words[0].startswith("--from="):
        start = stages[words.pop(0).removeprefix("--from=")].folder
    *sources, target = words
    for source in sources:
        found, place = start / source.lstrip("/"), folder / target.lstrip("/")
        place = place / found.name if target.endswith("/") else place
        place.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(
                found, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
            )
        else:
            shutil.copy2(found, place)


def attempt(image: Image) -> None:
    """Run the image on a root that cannot be written, and ask it for the corners of a picture."""
    words = [*image.command["ENTRYPOINT"], *image.command["CMD"]]
    # A user without an entry in /etc/passwd has the home folder that container engines give it.
    environment = {"HOME": "/"} | image.environment
    where, variables = shlex.quote(str(image.folder)), [f"{name}={text}" for name, text in environment.items()]
    inside = ["chroot", f"--userspec={image.user}:{image.user}", str(image.folder), "env", "-i", *variables, *words]
    steps = [f"mount --bind {where} {where}", f"mount -o remount,bind,ro {where}"]
    steps += [f"mount -t proc proc {where}/proc", f"mount -t sysfs -o ro sysfs {where}/sys"]
    script = " && ".join([*steps, f"exec {shlex.join(inside)}"])
    with subprocess.Popen(["unshare", "--mount", "/bin/sh", "-c", script]) as process:
        try:
            _wait_until_ready(process)
            request = urllib.request.Request(f"{ADDRESS}/models/document-corners/keypoints", PICTURE.read_bytes())
            with urllib.request.urlopen(request) as answer:
                print("score", json.load(answer)["instances"][0]["score"])
            process.terminate()
            process.wait(timeout=60)
        finally:
            process.kill()
    if process.returncode:
        sys.exit(f"SIGTERM gave status {process.returncode}, not 0")


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while process.poll() is None and time.monotonic() < started + 60:
        try:
            urllib.request.urlopen(f"{ADDRESS}/health/ready").close()
        except OSError:
            time.sleep(0.1)
        else:
            print(f"ready after {time.monotonic() - started:.1f} s")
            return
    sys.exit("the server did not become ready")


def main() -> None:
    """Build, measure and try the image."""
    parser = argparse.ArgumentParser(description="Build the image of the Dockerfile in a folder and try it.")
    parser.add_argument("folder", type=Path, help="new folder for the stages")
    parser.add_argument("--bind", type=Path, nargs="*", default=[], help="files and folders that the steps see")
    parser.add_argument("--env", nargs="*", default=[], metavar="NAME=VALUE", help="variables for the steps")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    image = build((ROOT / "Dockerfile").read_text(), args.folder.resolve(), args.bind, args.env)
    size = int(
        subprocess.run(["du", "-sm", image.folder], check=True, capture_output=True, text=True).stdout.split()[0]
    )
    print(f"{size} MB")
    attempt(image)
    if size > LARGEST:
        sys.exit(f"the image has {size} MB, more than {LARGEST}")


if __name__ == "__main__":
    main()
