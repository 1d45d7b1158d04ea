"""Dependencies point one way, and importing the library imports JAX and NumPy alone."""

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("importlinter")
from importlinter.cli import lint_imports

ROOT = pathlib.Path(__file__).parents[1]


def test_dependencies_point_one_way(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None) == 0


def test_a_dependency_that_points_back_is_seen(monkeypatch, tmp_path):
    # The same contracts on a copy in which the geometry imports JAX and an algorithm.
    package = tmp_path / "jconvt"
    for source in (ROOT / "jconvt").rglob("*.py"):
        target = package / source.relative_to(ROOT / "jconvt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    lint = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports as lint; sys.exit(lint())"
    command = [sys.executable, "-c", lint]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
    axis = package / "axis.py"
    whole = axis.read_text()
    for line in ("import jax", "from .algorithms import dilated"):
        axis.write_text(f"{whole}\n{line}\n")
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert found.returncode == 1
        assert " broken" in found.stdout
        assert f"jconvt.axis -> {line.split()[1].replace('.', 'jconvt.')}" in found.stdout


def test_import_brings_jax_and_numpy_alone():
    script = """
import sys, jax, jax.numpy, jax.numpy.linalg, jax.export
before = set(sys.modules)
import jconvt
new = {name.split('.')[0] for name in set(sys.modules) - before}
print(sorted(new - {'jconvt', 'jax', 'jaxlib', 'numpy', *sys.stdlib_module_names}))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
