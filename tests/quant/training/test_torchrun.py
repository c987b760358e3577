"""Two processes under torchrun, of which one is killed: float training, and quantization-aware training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgehrnet.models.checkpoints import load_checkpoint
from quant import qat
from quant.training.arguments import qat_settings
from quant.training.qat_trainer import QatTrainer

ROOT = Path(__file__).parents[3]
SHORT = ["--batch", "2", "--sizes", "64x64", "--workers", "0", "--validate-every", "1", "--validate-count", "1"]
TRAIN = ["--steps", "2", "--model", "hrnet_w18_small_v1"]
# The first step is in float. Then ranges are learned, and batch-norm no longer depends on the batch.
QAT = ["--steps", "3", "--recovery", "1", "--lsq", "--statistics", "0", "--calibration", "2"]
# Three runs: "killed", in which process 1 kills itself once after the first step, "whole", and "quantized", which is
# copied after the first step. Its networks are saved in both processes, and no engine file is built.
SCRIPT = """
import os, shutil, signal, sys
from pathlib import Path
import torch
import quant.files.build as build
from quant import qat, train
from quant.training.trainer import Trainer

step = Trainer.train_step
once = Path("once")

def train_step(trainer, batch):
    if trainer.step == 1 and trainer.out.name == "killed" and trainer.world.rank == 1 and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if trainer.step == 1 and trainer.out.name == "quantized" and trainer.world.rank == 0:
        shutil.copytree(trainer.out, "interrupted")
    return step(trainer, batch)

class Saving(qat.QatTrainer):
    def run(self):
        scores = super().run()
        state = {"network": self.network.state_dict(), "ema": self.ema.network.state_dict()}
        torch.save(state, self.out / f"process-{self.world.rank}.pt")
        return scores

Trainer.train_step = train_step
qat.QatTrainer = Saving
build.build_files = lambda checkpoint, order: []
middle = sys.argv.index("--")
for name in ("killed", "whole"):
    train.main([*sys.argv[1:middle], "--out", name])
qat.main([*sys.argv[middle + 1 :], "--out", "quantized"])
"""


@pytest.fixture(scope="module")
def ran(labeled, untrained, tmp_path_factory):
    """Folder of the runs, and what torchrun printed on both streams."""
    folder = tmp_path_factory.mktemp("torchrun")
    (folder / "script.py").write_text(SCRIPT)
    same = ["--data", labeled, *SHORT, "--threads", "1"]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1",
        "script.py", *same, *TRAIN, "--", untrained[0], *same, *QAT,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, done.stderr


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def differences(one, other):
    return [name for name, value in one.items() if not torch.equal(value, other[name])]


def test_a_killed_process_changes_nothing_but_the_time(ran):
    whole, killed = (torch.load(ran[0] / name / "last.pt", weights_only=True) for name in ("whole", "killed"))
    assert (ran[0] / "once").exists()
    assert whole["step"] == killed["step"] == 2
    assert [differences(whole[part], killed[part]) for part in ("network", "ema")] == [[], []]


def test_one_process_speaks_and_writes(ran):
    folder, out, err = ran
    assert out.count("2 processes") == 4  # one of the runs was started twice
    assert out.count("continuing at 1") == 1
    assert out.count("quant.ptq") == 2
    assert out.count("simulated INT8") == 1
    assert err.count("error: ") <= 1  # torchrun may end the other process before it has noticed
    assert "Traceback" not in err
    for name, steps in (("killed", 2), ("whole", 2), ("quantized", 3)):
        assert [line["step"] for line in log_of(folder / name)] == list(range(1, steps + 1))


def test_ranges_and_statistics_are_those_of_process_0(ran):
    one, other = (torch.load(ran[0] / "quantized" / f"process-{rank}.pt", weights_only=True) for rank in range(2))
    assert [differences(one[part], other[part]) for part in ("network", "ema")] == [[], []]
    tables = load_checkpoint(ran[0] / "quantized" / "corners.pt").quantization
    assert tables.keys() == {"openvino", "onnx", "tensorrt"}


def test_one_process_goes_on_as_two_would(ran, labeled, untrained):
    """It takes the pictures of both. So losses stay the same, and gradients, which the next loss shows."""
    path, checkpoint = untrained
    out = ran[0] / "interrupted"
    args = qat.parser().parse_args([path, "--data", labeled, "--out", str(out), *SHORT, *QAT])
    alone = QatTrainer(qat_settings(args, checkpoint), out, checkpoint)
    alone.resume()
    found = [alone.train_step(batch)["heatmaps"] for batch in alone.batches()]
    means = [line["loss"]["heatmaps"] for line in log_of(ran[0] / "quantized")]  # of all steps so far, in six digits
    assert found == pytest.approx([2 * means[1] - means[0], 3 * means[2] - 2 * means[1]], rel=1e-4)
