"""The example programs print what they claim."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def printed(program: str, *arguments: str) -> str:
    """What an example prints. A failure shows its traceback."""
    path = ROOT / "examples" / program
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("method", ["dilated", "vjp"])
def test_learning_recovers_the_kernel(method):
    output = printed("learn_upsampling.py", "--method", method, "--size", "16", "--steps", "100")
    assert f"low (1, 16, 16, 1) to high (1, 32, 32, 1), method {method}" in output
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", output)]
    assert len(losses) == 11
    assert losses[0] > 1
    assert losses[-1] < 1e-10
    assert losses[:4] == sorted(losses[:4], reverse=True)
    (error,) = re.findall(r"largest error of the recovered kernel: (\S+)", output)
    assert float(error) < 1e-5


def test_export_serves_every_platform_and_size():
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
