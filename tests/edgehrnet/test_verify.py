"""A file is opened only if it is the one that its certificate was made for, or the checksums in it are right."""

import json
import pickle
import shutil
import zipfile

import pytest

import runtimes
from edgehrnet import Predictor
from edgehrnet.certificate import certificate_path, digest, parts
from edgehrnet.cli import main
from edgehrnet.errors import ModelFileError


@pytest.fixture
def copied(openvino_model, tmp_path):
    for part in (*parts(openvino_model.path), certificate_path(openvino_model.path)):
        shutil.copy(part, tmp_path)
    return tmp_path / openvino_model.path.name


def flip_a_bit(path, place=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(content)


def test_the_file_of_the_certificate_is_opened(copied):
    with Predictor(copied) as predictor:
        certificate = predictor.info()["certificate"]
        # The certificate is that of the loaded file, whatever lies there later.
        certificate_path(copied).write_text("{}")
        assert predictor.info()["certificate"] == certificate
    assert certificate is not None
    assert certificate["file"] == copied.name


def test_a_changed_part_is_refused_and_opened_without_verification(copied, noise_pictures):
    for part in parts(copied):
        flip_a_bit(part, -3 if part.suffix == ".bin" else part.read_bytes().index(b"<net") + 11)
        with pytest.raises(ModelFileError, match=rf"{copied}.*verify=False"):
            Predictor(copied)
        flip_a_bit(part, -3 if part.suffix == ".bin" else part.read_bytes().index(b"<net") + 11)
    flip_a_bit(copied.with_suffix(".bin"), -3)
    with Predictor(copied, verify=False) as predictor:
        assert predictor.info()["certificate"] is None
        assert predictor.predict(noise_pictures[0]).heatmaps.size
        with pickle.loads(pickle.dumps(predictor)) as again:
            assert again.path == copied


def test_a_certificate_that_cannot_be_read_is_refused(copied):
    certificate_path(copied).write_text("[" * 100_000)
    with pytest.raises(ModelFileError, match="certificate"):
        Predictor(copied)
    with Predictor(copied, verify=False):
        pass


def test_a_file_without_a_certificate_is_not_compared(copied):
    certificate_path(copied).unlink()
    flip_a_bit(copied.with_suffix(".bin"), -3)
    with Predictor(copied) as predictor:
        assert predictor.info()["certificate"] is None


def test_the_command_line_can_leave_it_out(copied, capsys):
    flip_a_bit(copied.with_suffix(".bin"), -3)
    assert main(["info", str(copied), "--json"]) == 2
    assert copied.name in capsys.readouterr().err
    assert main(["info", str(copied), "--json", "--no-verify"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"] is None


def test_a_checkpoint_with_a_flipped_bit_is_refused(checkpoint_model, tmp_path):
    path = tmp_path / "a.pt"
    shutil.copy(checkpoint_model.path, path)
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    for place in range(1, 6):
        flip_a_bit(path, largest.header_offset + largest.file_size * place // 6)
        with pytest.raises(ModelFileError, match=r"a\.pt.*checksum"):
            Predictor(path)
        if place == 1:
            Predictor(path, verify=False).close()
        flip_a_bit(path, largest.header_offset + largest.file_size * place // 6)
    Predictor(path).close()


def test_a_compressed_checkpoint_is_refused(checkpoint_model, tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(checkpoint_model.path) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
    with pytest.raises(ModelFileError, match=r"a\.pt.*compressed"):
        Predictor(path)


def test_a_file_that_is_built_again_while_it_is_opened(copied, monkeypatch):
    load = runtimes.load

    def meanwhile(path, *args, **options):
        # The newer build is the same network with a space at the end of its graph.
        if not path.read_text().endswith(" "):
            path.write_text(path.read_text() + " ")
            values = json.loads(certificate_path(path).read_text())
            certificate_path(path).write_text(json.dumps({**values, "digest": digest(path)}))
        return load(path, *args, **options)

    monkeypatch.setattr(runtimes, "load", meanwhile)
    with Predictor(copied) as predictor:
        certificate = predictor.info()["certificate"]
    assert certificate is not None
    assert certificate["digest"] == digest(copied)
