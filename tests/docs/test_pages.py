"""Every command and Python block of the guides runs as it stands, on less data where that takes long.

The lab book, the measurements and the model card are records: their commands took hours.
"""

import importlib
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.M | re.S)
# Guides, whose blocks run. All other pages have text blocks only.
RUN = ("index", "pictures", "keypoints", "quantize", "deploy", "browser", "published", "video")
# What is typed less here, so that a page takes seconds: fewer steps, fewer pictures. Everything else is as written.
SHORTER = {
    "keypoints": {
        "quant.train --data figures/figures.json": "quant.train --data figures/figures.json --steps 100 --workers 0",
        "--fold 0/5 --out report.html": "--fold 0/5 --count 2 --out report.html",
        "--val loop/test.json": "--val loop/test.json --steps 1 --batch 2 --validate-count 2 --workers 0",
        "loop/all --format": "'loop/all/002*.png' --format",
        "--count 24": "--count 4",
    },
    "quantize": {
        "--fold 0/5 --out report.html": "--fold 0/5 --count 2 --out report.html",
        "--calibration 100 --pictures 8": "--calibration 4 --pictures 1",
        "--steps 100": "--steps 2 --batch 2 --validate-count 2",
        "--compute-capability 8.6": "--parity-pictures 2",  # the ONNX file without the plan, whose building takes long
    },
    "browser": {"--parity-pictures 0": "--parity-pictures 0 --size 64x64"},
}
# First words of text blocks that hold commands or code, and why they do not run here.
NOT_RUN = {
    "pip wheel": "tests/test_edge_install.py builds the wheel and installs it",
    'pip install "edgehrnet[openvino] @ git': "needs the network and a repository's address",
    'stream = predictor.stream("rtsp:': "needs a camera",
    "edgehrnet predict document-corners video.mp4": "needs a video",
    "from edgehrnet import Detector": "needs a detector and a model for people",
    "python benchmarks/": "a measurement, tested by tests/benchmarks",
    'predictor = Predictor("model-int8.xml", device="gpu"': "needs an Intel GPU",
    "python -m quant.export files/model.pt": "the plan it builds runs on an NVIDIA GPU only",
    "g++": "tests/test_cpp_sample.py builds and runs it",
    "FROM python": "needs Docker",
    "python -m quant.export model.pth": "needs a published checkpoint",
    'result = Predictor("files/model-int8.xml")': "needs a published checkpoint",
    "from edgehrnet import Predictor": "needs a published checkpoint",
    "python -m quant.train --data test_coco.json": "needs four pictures of COCO, and minutes",
    "from edgehrnet import ModelSpec": "needs a published checkpoint or a file of another project",
    "python -m quant.ptq package.module": "needs a network of another project",
    "python -m quant.ptq model.onnx": "tests/quant/test_ptq_files.py runs it",
    "edgehrnet models model.pth": "needs a published checkpoint",
    'pip install "edgehrnet[openvino,web]"': "needs gradio, and serves a page; tests/edgehrnet/webdemo tests it",
    "make web": "needs Node and Chromium",
}
COMMAND = re.compile(r"^(python|pip|make|edgehrnet|docker|import|from|predictor|result|stream) ?", re.M)


def blocks(page):
    """The fenced blocks of a page as (language, content)."""
    return [(language, _dedented(content)) for language, content in BLOCK.findall((DOCS / f"{page}.md").read_text())]


def _dedented(content):
    lines = content.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line)
    return "\n".join(line[indent:] for line in lines)


def _joined(content):
    """Join the lines that end with a backslash with the next ones."""
    return re.sub(r" \\\n +", " ", content)


def run_command(line):
    """Run a command in this process, which has imported torch already."""
    program, *arguments = shlex.split(line)
    if arguments[0].startswith("samples/"):
        with patch.object(sys, "argv", arguments):
            runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
        return
    if program == "edgehrnet":
        module = importlib.import_module("edgehrnet.cli")
    else:
        assert (program, arguments.pop(0)) == ("python", "-m"), line
        module = importlib.import_module(arguments.pop(0))
    assert module.main(arguments) == 0, line


def run_python(code, folder):
    if "__main__" not in code:
        exec(compile(code, "block", "exec"), {"__name__": "block"})
        return
    (folder / "block.py").write_text(code)  # other processes import it
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "block.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def run_page(page, folder, done=()):
    """Run a page's blocks in their order, but no command a second time; return the commands."""
    ran = list(done)
    for language, content in blocks(page):
        if language == "python":
            run_python(content, folder)
        elif language == "console":
            for line in filter(None, _joined(content).splitlines()):
                for long, short in SHORTER.get(page, {}).items():
                    line = line.replace(long, short)
                if line not in ran:
                    run_command(line)
                ran.append(line)
    return ran


@pytest.mark.parametrize("page", ["index", "deploy", "browser", "pictures", "published", "video"])
def test_blocks_run(page, project):
    run_page(page, project)


@pytest.mark.slow
def test_own_keypoints_from_labels_to_files_for_every_engine(project):
    commands = run_page("keypoints", project)
    assert (project / "figure.png").is_file()
    assert (project / "report.html").is_file()
    assert len(json.loads((project / "loop" / "export.json").read_text())) == 16 + 4 + 4  # of the loop's rounds
    run_page("quantize", project, commands)  # goes on with the checkpoint that was trained
    assert (project / "engines" / "figures-int8.certificate.json").is_file()
    assert (project / "engines" / "figures.parity.md").is_file()
    assert list((project / "sensitivity").iterdir())


@pytest.mark.parametrize("page", SHORTER)
def test_each_shortened_option_is_on_its_page(page):
    text = _joined((DOCS / f"{page}.md").read_text())
    assert [long for long in SHORTER[page] if long not in text] == []


def test_only_guides_have_blocks_that_run():
    pages = [str(path.relative_to(DOCS).with_suffix("")) for path in sorted(DOCS.rglob("*.md"))]
    assert {page for page in pages if {"python", "console"} & {language for language, _ in blocks(page)}} == set(RUN)


def test_each_block_that_does_not_run_has_a_reason():
    texts = [_joined(content) for page in RUN for language, content in blocks(page) if language == "text"]
    with_commands = [text for text in texts if COMMAND.search(text) or text.startswith(("g++", "FROM"))]
    assert [text for text in with_commands if not text.startswith(tuple(NOT_RUN))] == []
    assert [start for start in NOT_RUN if not any(text.startswith(start) for text in with_commands)] == []
