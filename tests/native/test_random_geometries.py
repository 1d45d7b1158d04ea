"""The compiled kernels, without Python and JAX, against the definition: check.cc draws the problems."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHECK = Path(__file__).parent / "check"

needs_compiler = pytest.mark.skipif(
    not (shutil.which("cmake") and (shutil.which("c++") or shutil.which("clang++"))),
    reason="the program needs CMake and a C++ compiler",
)


def check(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CHECK, *options], capture_output=True, text=True, check=False)


@needs_compiler
@pytest.mark.parametrize("seed", ["1", "2"])
def test_kernels__equal_the_definition_at_random_geometries(seed):
    ran = check("--seed", seed, "--count", "1500")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1500 draws are right" in ran.stdout


@needs_compiler
def test_check__repeats_a_draw():
    first, second = (check("--seed", "3", "--only", "17").stdout.splitlines()[0] for _ in range(2))
    assert first == second
    assert "batch" in first


@needs_compiler
@pytest.mark.parametrize("option", ["--counts", "--level"])
def test_check__rejects_what_it_does_not_know(option):
    ran = check(option, "avx3")
    assert ran.returncode == 2
    assert "avx3" in ran.stderr
