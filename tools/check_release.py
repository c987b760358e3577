"""Install each built distribution in a fresh environment and run the demo there.

Usage: ``python tools/check_release.py dist``, after ``python -m build --outdir dist``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = "Scripts" if os.name == "nt" else "bin"


def check(distribution: Path) -> None:
    """Install one wheel or sdist with the OpenVINO extra, and run ``edgehrnet demo`` from an empty folder.

    Raises:
        subprocess.CalledProcessError: The installation or the demo failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "venv"
        venv.create(environment, with_pip=True)
        scripts = environment / SCRIPTS
        install: list[str | Path] = [
            scripts / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        constraints: list[str | Path] = ["--constraint", ROOT / "constraints.txt"]
        subprocess.run([*install, *constraints, f"{distribution.resolve()}[openvino]"], check=True)
        subprocess.run([scripts / "edgehrnet", "demo"], cwd=folder, check=True)


def main() -> None:
    """Check every distribution in a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with one wheel and one sdist")
    folder = parser.parse_args().folder
    found = sorted(folder.glob("edgehrnet-*"))
    if {path.suffix for path in found} != {".whl", ".gz"}:
        parser.error(f"{folder} must contain a wheel and an sdist of edgehrnet; found {[path.name for path in found]}")
    for distribution in found:
        print(f"\n{distribution.name}")
        check(distribution)


if __name__ == "__main__":
    main()
