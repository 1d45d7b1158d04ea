"""The example programs run, and print what the documentation says."""

import base64
import copy
import importlib.util
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]


def printed(program: str, *arguments: str) -> str:
    """Run an example and return its output. A failure shows its traceback."""
    path = ROOT / "examples" / program
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("method", ["dilated", "vjp"])
def test_learn_upsampling__recovers_the_kernel(method):
    output = printed("learn_upsampling.py", "--method", method, "--size", "16", "--steps", "100")
    assert f"low (1, 16, 16, 1) to high (1, 32, 32, 1), method {method}" in output
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", output)]
    assert len(losses) == 11
    assert losses[0] > 1
    assert losses[-1] < 1e-10
    assert losses[:4] == sorted(losses[:4], reverse=True)
    (error,) = re.findall(r"largest error of the recovered kernel: (\S+)", output)
    assert float(error) < 1e-5


def test_export_everywhere__works_for_every_platform_and_size():
    output = printed("export_everywhere.py", "2x5x6", "1x3x4")
    for function in ("upsample", "gradient"):
        assert re.search(rf"{function}: \d+ bytes for cpu, cuda, tpu\n", output)
    assert "returns  float32[batch,2*height,2*width,2]\n" in output
    assert "returns  float32[batch,height,width,3] float32[4,4,2,3]\n" in output
    for shapes in (
        "(2, 5, 6, 3) -> (2, 10, 12, 2)",
        "(1, 3, 4, 3) -> (1, 6, 8, 2)",
        "(2, 5, 6, 3) -> (2, 5, 6, 3) (4, 4, 2, 3)",
        "(1, 3, 4, 3) -> (1, 3, 4, 3) (4, 4, 2, 3)",
    ):
        (difference,) = re.findall(rf"{re.escape(shapes)}, relative difference from the direct call (\S+)", output)
        assert float(difference) < 1e-5


def needs(*packages: str) -> None:
    """Skip the test if a package of the examples is not installed."""
    for package in ("matplotlib", *packages):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def assert_is_picture(path: pathlib.Path) -> None:
    """The picture can be read, has a size that fits a screen, and shows something in each of its quarters."""
    image = pytest.importorskip("matplotlib.image").imread(path)
    height, width = image.shape[:2]
    assert 300 <= height <= 1000
    assert 600 <= width <= 1500
    for rows in np.array_split(image[..., :3], 2):
        for quarter in np.array_split(rows, 2, axis=1):
            assert quarter.std() > 0.05


def number(pattern: str, output: str) -> float:
    """The only number that matches the group of the pattern."""
    (found,) = re.findall(pattern, output)
    return float(found)


def test_keras_unet__has_the_same_outputs_in_flax(tmp_path):
    needs("tensorflow", "h5py", "flax")
    picture = tmp_path / "unet.png"
    output = printed("keras_unet_to_flax.py", "--steps", "8", "--width", "3", "--output", str(picture))
    before, after = map(float, re.findall(r"loss (\S+) before, (\S+) after 8 steps", output)[0])
    assert after < before
    assert len(re.findall(r"up_\w+ +up_\w+ +conv_transpose .*\[::-1, ::-1\] +path", output)) == 2
    assert not re.search("^(not used|not filled|note)", output, re.MULTILINE)
    assert number(r"largest relative difference of the outputs: (\S+)", output) < 1e-5
    assert_is_picture(picture)


def test_torch_dcgan__makes_the_same_images_in_nnx(tmp_path):
    needs("torch", "flax", "sklearn")
    picture = tmp_path / "dcgan.png"
    output = printed("torch_dcgan_to_nnx.py", "--steps", "3", "--width", "2", "--output", str(picture))
    before, after = map(float, re.findall(r"loss (\S+) before, (\S+) after 3 steps", output)[0])
    assert after < before
    assert len(re.findall(r"\d+ +layers\.\d+ +conv_transpose ", output)) == 5
    assert len(re.findall(r"\d+ +layers\.\d+ +norm ", output)) == 4
    assert "images (6, 64, 64, 3)\n" in output
    assert number(r"largest relative difference of the images: (\S+)", output) < 1e-5
    assert_is_picture(picture)


def test_train_autoencoder__has_the_same_losses_with_each_method(tmp_path):
    needs("flax", "optax", "orbax", "sklearn")
    picture = tmp_path / "autoencoder.png"
    output = printed("train_autoencoder.py", "--steps", "6", "--width", "4", "--output", str(picture))
    rows = re.findall(r"(\w+) +\S (\d\.\d{6}) +\S (\d\.\d{6}) +\S \d+ +\S \d+\.\d\d", output)
    assert [method for method, _, _ in rows] == ["auto", "dilated", "vjp", "polyphase", "gemm"]
    first, last = np.array([losses for _, *losses in rows], float).T
    assert last.max() < 0.95 * first.min()
    np.testing.assert_allclose(first, first[0], rtol=1e-5)
    np.testing.assert_allclose(last, last[0], rtol=2e-5)
    assert number(r"difference of the losses, over all steps: (\S+)", output) < 1e-5
    assert "restored parameters equal to the trained ones: True\n" in output
    assert (tmp_path / "autoencoder.orbax").is_dir()
    assert_is_picture(picture)


def test_bilinear_upsampling__resizes_as_jax_does(tmp_path):
    needs("flax", "sklearn")
    picture = tmp_path / "bilinear.png"
    output = printed("bilinear_upsampling.py", "--factor", "3", "--output", str(picture))
    assert "(142, 213, 3) to (426, 639, 3) by a kernel of (5, 5, 1, 3)\n" in output
    assert number(r"nearest: relative difference from jax.image.resize inside (\S+)", output) == 0
    assert number(r"bilinear: relative difference from jax.image.resize inside (\S+)", output) < 1e-5
    nearest, bilinear = re.findall(r"nearest (\S+) dB, bilinear (\S+) dB", output)[0]
    assert float(bilinear) > float(nearest) > 20
    assert_is_picture(picture)


def test_checkerboard__is_gone_with_icnr(tmp_path):
    needs("flax")
    picture = tmp_path / "checkerboard.png"
    output = printed("checkerboard.py", "--output", str(picture))
    ratios = re.findall(r"k = (\d), s = (\d): from \d to \d taps a pixel, ratio (\S+)", output)
    assert ratios == [("3", "2", "4.00"), ("4", "2", "1.00"), ("5", "3", "4.00"), ("6", "3", "1.00")]
    sums = dict(re.findall(r"(.+): the taps of a phase sum to (\S+ to \S+)\n", output))
    spreads = [high - low for low, high in (map(float, each.split(" to ")) for each in sums.values())]
    assert list(sums) == ["k = 3, normal", "k = 4, normal", "k = 4, ICNR"]
    assert min(spreads[:2]) > 1
    assert spreads[2] < 1e-5
    assert_is_picture(picture)


@pytest.mark.filterwarnings("ignore")  # of the packages that run notebooks, not of jconvt
def test_notebook__prints_its_stored_output(tmp_path):
    needs("ipykernel")
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    stored = nbformat.read(ROOT / "examples" / "transpose_is_the_gradient.ipynb", as_version=4)
    run = copy.deepcopy(stored)
    nbclient.NotebookClient(run, timeout=300, coalesce_streams=True).execute()
    said, expected = (
        [output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stdout"]
        for notebook in (run, stored)
    )
    assert said == expected
    assert "False" not in "".join(said)
    (picture,) = [o.data["image/png"] for o in run.cells[-1].outputs if "data" in o]
    (tmp_path / "notebook.png").write_bytes(base64.b64decode(picture))
    assert_is_picture(tmp_path / "notebook.png")
