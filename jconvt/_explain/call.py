"""A call in, an ``Explanation`` out: it resolves the arguments, checks the sizes, and asks the library."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from numpy.typing import NDArray

from .._conventions import registry
from .._conventions.convention import Convention, listed
from .._core import operation
from .._geometry.arguments import check_length, integer, sequence
from .._geometry.spec import Spec
from .._methods import reference
from ..errors import ArgumentError, ArgumentTypeError
from .explanation import Explanation

_LEGIBLE = {1: (12, 9, 36), 2: (6, 7, 16)}
"""Along each axis the most input pixels, the largest extent of a kernel, and the most outputs that still read well."""


def explain(
    input: ArrayLike,
    filters: ArrayLike,
    *arguments: Any,
    convention: str = "jconvt",
    image: int = 0,
    pair: tuple[int, int] = (0, 0),
    **options: Any,
) -> Explanation:
    """Explain a transposed convolution's numbers: every product of every output.

    Args:
      input: as the convention has it: for ``jconvt.conv_transpose``, ``(batch, spatial..., in)``. One or two spatial
        axes, and no more pixels than can be read.
      filters: the kernel, as the convention has it: ``(k..., out / groups, in)``.
      arguments, options: the other arguments of ``jconvt.conv_transpose``, or of the convention's function; those
        that do not change what is computed in which geometry, such as ``method`` and ``bias``, are not among them.
      convention: whose arguments and kernel these are: "jconvt", "tensorflow", "torch", "keras", "onnx", "lax" or
        "flax".
      image: which image of the batch.
      pair: which input channel, and which output channel.

    Returns:
      An ``Explanation``: the products, the stamps, the dilated view and the gradient view, computed by the definition,
      beside the library's answer.

    Raises:
      ArgumentError: the convention rejects the call, or there is nothing to see, or more than can be read; a
        ``ValueError``.
      ArgumentTypeError: an argument of the wrong kind, such as a traced array; a ``TypeError``.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[-67.0, -77.0], [-117.0, -127.0]]).reshape(1, 2, 2, 1)
    >>> kernel = jnp.array([[-1.0, 2, -3], [4, -5, 6], [-7, 8, -9]]).reshape(3, 3, 1, 1)
    >>> why = explain(x, kernel, strides=2, padding="VALID")
    >>> why.sentence((2, 2))
    'out[2,2] = -67*-9 + -77*-7 + -117*-3 + -127*-1 = 1620'
    >>> [(pixel, tap) for pixel, tap, _ in why.products((0, 2))]
    [((0, 0), (0, 2)), ((0, 1), (0, 0))]
    >>> bool((why.matrix.T @ why.input.ravel() == why.output.ravel()).all()), why.agrees
    (True, True)
    """
    x, w = operation.operands(input=input, filters=filters)
    if isinstance(x, Tracer) or isinstance(w, Tracer):
        problem = "explain shows numbers, and traced arrays have no values yet"
        got = "traced operands: the call is inside jit, grad, vmap or another transformation"
        legal, fix = "arrays whose values are known", "call it outside the transformation"
        raise ArgumentTypeError(problem, got=got, legal=legal, fix=fix)
    _check_kept("input", input, x)
    _check_kept("filters", filters, w)
    chosen = registry.named(convention, "convention")
    name, stated = _stated(chosen, arguments, options)
    if chosen.batch_is_optional and x.ndim == w.ndim - 1:
        x = x[None]
    spec, layout = chosen.resolve(x.shape, w.shape, **stated)
    sizes = layout.spatial(x.shape)
    _check_sizes(spec, sizes, spec.output_sizes(sizes))
    kernel_layout = chosen.kernel_layout(spec.rank, spec.groups, stated)
    w, batch, image = kernel_layout.filters(w), x.shape[0], integer(image, "image", 0)
    if image >= batch or 0 in w.shape:
        channels = f"{w.shape[-1]} input and {w.shape[-2] * spec.groups} output channels"
        got = f"image {image}, of a batch of {batch}, with {channels}"
        legal = "an image of the batch, and at least one input and one output channel"
        problem, fix = "there is no channel to explain", "pass channels"
        if image >= batch:
            problem, fix = "there is no such image", "pass image=0 and a batch that is not empty"
        raise ArgumentError(problem, got=got, legal=legal, fix=fix)
    x = x[image : image + 1]
    y = operation.transposed_convolution(x, w, spec, layout, name="explain", precision="highest")
    pixels, answer = (np.moveaxis(np.asarray(array)[0], layout.channel_axis - 1, -1) for array in (x, y))
    pixels, taps = (np.asarray(array).astype(reference.accumulator(x)) for array in (pixels, w))
    _check_sums(pixels, taps, spec.groups)
    channels = sequence(pair, "pair", "an input channel and an output channel")
    legal = "two integers: an input channel, and an output channel"
    check_length(channels, "pair", (2,), legal, fix="leave it out for the first of each")
    call = name or f"{chosen.function.format(rank=spec.rank)}(input, filters{listed(stated)})"
    return Explanation(call, spec, pixels, taps, answer, kernel_layout.flipped, 0, 0).pair(*channels)


def _stated(
    convention: Convention, arguments: Sequence[Any], options: dict[str, Any]
) -> tuple[str | None, dict[str, Any]]:
    """Return the call's ``name``, and its arguments by their names: those that the geometry depends on."""
    names = convention.positional
    twice = [name for name in names[: len(arguments)] if name in options]
    if len(arguments) > len(names) or twice:
        problem = f"the positional arguments are not those of {convention.name}'s function"
        got = f"{len(arguments)} after the kernel" + "".join(f", and {name} by name, too" for name in twice)
        legal = ", ".join(names) or "none: all are passed by name"
        raise ArgumentTypeError(problem, got=got, legal=legal, fix="pass each once, by its name")
    stated = dict(zip(names, arguments, strict=False)) | options
    if stated.pop("bias", None) is not None:
        problem = "explain has no bias: it is added equally to every output"
        raise ArgumentError(problem, got="a bias", legal="None", fix="leave it out")
    title = stated.pop("name", None) if "name" in names else None
    got, fix = f"name = {title!r}", "leave it out for the call itself"
    if title is not None and not isinstance(title, str):
        raise ArgumentTypeError("name must be a string", got=got, legal="a title", fix=fix)
    if not (title or "").isprintable():  # no terminal, figure or page could show it
        legal = "a title of one line, without control characters"
        raise ArgumentError("name cannot be printed", got=got, legal=legal, fix=fix)
    convention.check(stated)
    return title, stated


def _check_kept(name: str, operand: Any, array: Any) -> None:
    """Raise if numbers changed on their way into a JAX array, whose default is 32 bits."""
    if not isinstance(operand, np.ndarray | np.generic | list | tuple):
        return
    before, after = np.asarray(operand), np.asarray(array)
    finite, narrow = np.isfinite(before), before
    if jnp.issubdtype(before.dtype, jnp.integer):  # they become narrower integers even if they become floats then
        narrow = before.astype(jax.dtypes.canonicalize_dtype(before.dtype))
    for held, lost in ((narrow, finite & (before != narrow)), (after, finite & ~np.isfinite(after))):
        if lost.any():
            problem, got = (
                f"{name} holds a number that is too large for its array",
                f"{before[lost][0]} in {held.dtype}",
            )
            fix = "pass smaller numbers, or allow 64 bits with jax.config.update('jax_enable_x64', True)"
            raise ArgumentError(problem, got=got, legal=f"what {held.dtype} holds", fix=fix)


def _check_sums(x: NDArray[Any], w: NDArray[Any], groups: int) -> None:
    """Raise if sums of integers could wrap around in the largest dtype: what is shown has to be true."""
    if not jnp.issubdtype(x.dtype, jnp.integer):
        return
    terms = min(math.prod(x.shape[:-1]), math.prod(w.shape[:-2])) * (x.shape[-1] // groups)
    largest, other = (max(abs(int(array.min())), abs(int(array.max()))) for array in (x, w))
    most = int(np.iinfo(x.dtype).max)
    if terms * largest * other > most:
        problem, got = "the sums may be too large to be exact", f"{terms} products of up to {largest} and {other}"
        fix = "pass smaller integers, or convert with .astype(jnp.float32)"
        raise ArgumentError(problem, got=got, legal=f"sums of at most {most}", fix=fix)


def _check_sizes(spec: Spec, sizes: Sequence[int], outputs: Sequence[int]) -> None:
    if spec.rank not in _LEGIBLE:
        problem, got = "explain draws on paper: one or two spatial axes", f"{spec.rank} spatial axes"
        fix = "explain one slice of the input with one slice of the kernel"
        raise ArgumentError(problem, got=got, legal="1 or 2", fix=fix)
    pixels, extent, cells = _LEGIBLE[spec.rank]
    extents = [axis.extent for axis in spec.axes]
    got = f"an input of {_by(sizes)} pixels, and an output of {_by(outputs)}"
    if min(*sizes, *outputs) < 1:
        legal, fix = "at least one pixel of each along every axis", "pass a larger input, or crop less"
        raise ArgumentError("there is nothing to explain", got=got, legal=legal, fix=fix)
    if max(sizes) > pixels or max(extents) > extent or max(outputs) > cells:
        got = f"{got}, of a kernel that extends over {_by(extents)}"
        legal = f"along each axis at most {pixels} input pixels, a kernel over {extent}, and {cells} outputs"
        fix = "pass a smaller kernel, or a smaller dilation"
        if max(extents) <= extent:
            part = f"input of {_by([min(n, 3) for n in sizes])} pixels, with the same kernel, strides and padding"
            fix = f"explain a part that shows the same: {part}"
        raise ArgumentError("that is more than can be read", got=got, legal=legal, fix=fix)


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
