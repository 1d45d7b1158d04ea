"""Two JAX processes with several devices each train a generator, and get the results of one process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support import generator_training

PROCESSES, DEVICES = 2, 4


def _loopback() -> str:
    """A free address."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return f"127.0.0.1:{server.getsockname()[1]}"
    except OSError as error:
        pytest.skip(f"no sockets on loopback: {error}")


def _run_processes(folder: Path, seconds: float) -> list[dict[str, np.ndarray]]:
    """Return the results of each process. All processes have ended when this returns or raises."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_NUM_CPU_DEVICES": str(DEVICES),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    address, files = _loopback(), [folder / f"{process}.npz" for process in range(PROCESSES)]
    command = [sys.executable, generator_training.__file__, address, str(PROCESSES)]
    started = []
    try:
        for process, file in enumerate(files):
            with file.with_suffix(".txt").open("w") as log:
                call = [*command, str(process), str(file)]
                started.append(subprocess.Popen(call, env=environment, stdout=log, stderr=subprocess.STDOUT))
        ended = [one.wait(seconds) for one in started]
    except subprocess.TimeoutExpired:
        ended = ["did not end"] * PROCESSES
    finally:
        for one in started:
            one.kill()
            one.wait()
    logs = "\n".join(file.with_suffix(".txt").read_text() for file in files)
    assert ended == [0] * PROCESSES, logs
    return [dict(np.load(file)) for file in files]


def test_processes__two_train_as_one(tmp_path):
    with jax.default_device(jax.devices("cpu")[0]):
        expected = generator_training.train()
    assert expected["losses"][-1] < expected["losses"][0]
    for found in _run_processes(tmp_path, seconds=180):
        np.testing.assert_array_equal(found["devices"], [PROCESSES, PROCESSES * DEVICES, DEVICES])
        for case in generator_training.SHARDINGS:
            for name, value in expected.items():
                np.testing.assert_allclose(found[f"{case} {name}"], value, rtol=1e-12, atol=1e-14)
