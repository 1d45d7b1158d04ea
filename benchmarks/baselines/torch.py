"""``torch.nn.functional.conv_transpose1d`` to ``conv_transpose3d``, contiguous and channels last.

PyTorch crops as much before as after, or more before; TensorFlow crops more after. Along an axis where the two differ,
PyTorch gets input and kernel mirrored, and computes the mirrored output in one call. Operands are transposed and
mirrored before the timing, and results after it.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch

from jconvt._core import timing

from ..measurement import Candidate, Program, Unsupported
from ..problem import Problem, array_dtype

_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def candidates() -> dict[str, Candidate]:
    platform = jax.default_backend()
    if platform != "cpu" and not (platform == "gpu" and torch.cuda.is_available()):
        raise ImportError(f"PyTorch does not see the {platform} that JAX computes on")
    return {"torch": lambda problem: _prepare(problem, False), "torch-last": lambda problem: _prepare(problem, True)}


def product(size: int, dtype: str) -> Callable[[], Any]:
    """Prepare one product of two square matrices."""
    matrix = torch.randn(size, size).to(device(), getattr(torch, array_dtype(dtype)))

    def call() -> None:
        allow(dtype)
        with torch.inference_mode():
            _ = matrix @ matrix
        synchronize()

    return call


def device() -> str:
    """Return the device for PyTorch: the one of JAX."""
    return "cpu" if jax.default_backend() == "cpu" else "cuda"


def allow(dtype: str) -> None:
    """Let PyTorch multiply float32 in TF32, or not; on CPU it never does. cuDNN may time its algorithms first."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    torch.backends.cudnn.benchmark = True


def synchronize() -> None:
    if device() == "cuda":
        torch.cuda.synchronize()


def _prepare(problem: Problem, last: bool) -> Program:
    workload = problem.workload
    if last and workload.rank not in _LAST:
        raise Unsupported(f"PyTorch has no channels-last layout in {workload.rank}-D")
    axes = workload.spec.axes
    mirrored = tuple(axis for axis, geometry in enumerate(axes) if geometry.hi > geometry.lo)
    before = [max(axis.lo, axis.hi) for axis in axes]
    after = [min(axis.lo, axis.hi) for axis in axes]
    if any(not 0 <= a - b < axis.stride for a, b, axis in zip(before, after, axes, strict=True)):
        raise Unsupported("PyTorch has no output_padding as large as the stride")
    allow(problem.dtype)
    function = getattr(torch.nn.functional, f"conv_transpose{workload.rank}d")
    x, w, z = problem.operands
    operands = [_tensor(problem, _images(array, mirrored), last) for array in (x, z)]
    operands.insert(1, _tensor(problem, _kernels(w, mirrored), last))
    gaps = [a - b for a, b in zip(before, after, strict=True)]

    def transpose(x: Any, w: Any) -> Any:
        return function(x, w, None, workload.stride, before, gaps, workload.groups)

    def enqueue() -> tuple[Any, ...]:
        x, w, z = operands
        if problem.step == "gradient":
            y = transpose(x, w)
            return y.detach(), *torch.autograd.grad(y, (x, w), z)
        with torch.inference_mode():
            return (transpose(x, w),)

    run = timing.Enqueued(enqueue, lambda _: synchronize())

    if problem.step == "gradient":
        for operand in operands[:2]:
            operand.requires_grad_()

    def arrays(results: tuple[Any, ...]) -> tuple[Any, ...]:
        y, *gradients = (array.float().cpu().numpy() for array in results)
        if not gradients:
            return (_images_back(y, mirrored),)
        in_x, in_w = gradients
        return _images_back(y, mirrored), _images_back(in_x, mirrored), _kernels_back(in_w, mirrored)

    return Program(run, arrays, temporary_bytes=_temporary_bytes(run))


def _temporary_bytes(run: Callable[[], tuple[Any, ...]]) -> int | None:
    """Return the most memory that a call takes on a GPU besides operands and results."""
    if device() == "cpu":
        return None
    run()  # cuDNN times its algorithms
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    results = run()
    sizes = sum(array.numel() * array.element_size() for array in results)
    return max(0, torch.cuda.max_memory_allocated() - before - sizes)


def _tensor(problem: Problem, array: Any, last: bool) -> Any:
    tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device(), getattr(torch, problem.array_dtype))
    return tensor.contiguous(memory_format=_LAST[problem.workload.rank]) if last else tensor


def _images(array: Any, mirrored: tuple[int, ...]) -> Any:
    """Convert (batch, spatial..., c) to (batch, c, spatial...)."""
    return np.moveaxis(np.flip(array, tuple(axis + 1 for axis in mirrored)), -1, 1)


def _images_back(array: Any, mirrored: tuple[int, ...]) -> Any:
    return np.flip(np.moveaxis(array, 1, -1), tuple(axis + 1 for axis in mirrored))


def _kernels(w: Any, mirrored: tuple[int, ...]) -> Any:
    """Convert (k..., o / groups, c) to (c, o / groups, k...)."""
    return np.moveaxis(np.flip(w, mirrored), (-1, -2), (0, 1))


def _kernels_back(w: Any, mirrored: tuple[int, ...]) -> Any:
    return np.flip(np.moveaxis(w, (0, 1), (-1, -2)), mirrored)
