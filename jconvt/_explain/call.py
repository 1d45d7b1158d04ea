"""A call in, an ``Explanation`` out: arguments resolved, sizes kept readable, the library's answer taken along."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from numpy.typing import NDArray

from .._conventions.registry import CONVENTIONS, FUNCTIONS, check_known, check_names, kernel_of, listed
from .._core import operation
from .._geometry.arguments import integer, sequence
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
    """Why a transposed convolution's numbers are what they are: every product of every output.

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
      ArgumentError: the convention refuses the call, or there is nothing to see, or more than can be read; a
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
        raise ArgumentTypeError(
            "explain shows numbers, and traced arrays have none yet",
            got="traced operands: the call is inside jit, grad, vmap or another transformation",
            legal="arrays whose values are known",
            fix="call it outside the transformation",
        )
    _check_kept("input", input, x)
    _check_kept("filters", filters, w)
    check_known(convention, "convention")
    given = _named(convention, arguments, options)
    if convention == "torch" and x.ndim == w.ndim - 1:
        x = x[None]  # PyTorch takes a lone image without a batch
    shown = {name: value for name, value in given.items() if name != "name"}
    check_names(convention, shown)
    spec, layout = CONVENTIONS[convention].resolve(x.shape, w.shape, **shown)
    sizes = layout.spatial(x.shape)
    _check_sizes(spec, sizes, spec.output_sizes(sizes))
    image, count = integer(image, "image", 0), x.shape[0]
    own = kernel_of(convention, spec.rank, shown, spec.groups)
    w = own.filters(w)
    channels = (w.shape[-1], w.shape[-2] * spec.groups)
    if image >= count or min(channels) < 1:
        raise ArgumentError(
            "there is no such image" if image >= count else "there is no channel to explain",
            got=f"image {image}, of a batch of {count}, with {channels[0]} input and {channels[1]} output channels",
            legal="an image of the batch, and one channel of each kind at least",
            fix="pass image=0 and a batch that is not empty" if image >= count else "pass channels",
        )
    x = x[image : image + 1]
    y = operation.transposed_convolution(x, w, spec, layout, name="explain", precision="highest")
    last = [np.moveaxis(np.asarray(array)[0], layout.channel_axis - 1, -1) for array in (x, y)]
    wide = reference.accumulator(x)
    images, kernels = last[0].astype(wide), np.asarray(w).astype(wide)
    _check_sums(images, kernels, spec.groups)
    explanation = Explanation(
        call=given.get("name") or _code(convention, spec.rank, shown),
        spec=spec,
        images=images,
        filters=kernels,
        answer=last[1],
        backwards=own.flipped,
        input_channel=0,
        output_channel=0,
    )
    chosen = sequence(pair, "pair", "an input channel and an output channel")
    if len(chosen) != 2:
        raise ArgumentError(
            "pair has the wrong length",
            got=f"pair = {pair!r}",
            legal="two integers: an input channel, and an output channel",
            fix="leave it out for the first of each",
        )
    return explanation.pair(*chosen)


def _named(convention: str, arguments: Sequence[Any], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments by their names."""
    parameters = [*inspect.signature(CONVENTIONS[convention].resolve).parameters.values()][2:]
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    if convention == "torch":
        names.insert(0, "bias")
    elif convention in ("jconvt", "tensorflow"):
        names.append("name")
    twice = [name for name in names[: len(arguments)] if name in options]
    if len(arguments) > len(names) or twice:
        raise ArgumentTypeError(
            f"the positional arguments are not those of {convention}'s function",
            got=f"{len(arguments)} after the kernel" + "".join(f", and {name} by name, too" for name in twice),
            legal=", ".join(names) or "none: all are passed by name",
            fix="pass each once, by its name",
        )
    given = dict(zip(names, arguments, strict=False)) | options
    if given.pop("bias", None) is not None:
        raise ArgumentError(
            "explain has no bias: it is added to every output alike",
            got="a bias",
            legal="None",
            fix="leave it out",
        )
    name = given.get("name")
    if "name" in names and name is not None and not isinstance(name, str):
        raise ArgumentTypeError(
            "name must be a string", got=f"name = {name!r}", legal="a title", fix="leave it out for the call itself"
        )
    if "name" in names and not (name or "").isprintable():  # no terminal, figure or page could show it
        raise ArgumentError(
            "name cannot be printed",
            got=f"name = {name!r}",
            legal="a title of one line, without control characters",
            fix="leave it out for the call itself",
        )
    return given


def _check_kept(name: str, given: Any, held: Any) -> None:
    """Refuses numbers that became others on their way into a JAX array, whose default is 32 bits."""
    if not isinstance(given, np.ndarray | np.generic | list | tuple):
        return
    given, held = np.asarray(given), np.asarray(held)
    if jnp.issubdtype(given.dtype, jnp.integer) and jnp.issubdtype(held.dtype, jnp.integer):
        lost = given != held
    else:
        lost = np.isfinite(given) & ~np.isfinite(held)
    if lost.any():
        raise ArgumentError(
            f"{name} holds a number that is too large for its array",
            got=f"{given[lost][0]}, in an array of {held.dtype}",
            legal=f"what {held.dtype} holds",
            fix="pass smaller numbers, or allow 64 bits with jax.config.update('jax_enable_x64', True)",
        )


def _check_sums(x: NDArray[Any], w: NDArray[Any], groups: int) -> None:
    """Refuses integers whose sums could wrap around in the widest dtype: what is shown has to be true."""
    if not jnp.issubdtype(x.dtype, jnp.integer):
        return
    terms = min(math.prod(x.shape[:-1]), math.prod(w.shape[:-2])) * (x.shape[-1] // groups)
    largest, other = (max(abs(int(array.min())), abs(int(array.max()))) for array in (x, w))
    most = int(np.iinfo(x.dtype).max)
    if terms * largest * other > most:
        raise ArgumentError(
            "the sums may be too large to be told exactly",
            got=f"{terms} products of up to {largest} and {other}",
            legal=f"sums of at most {most}",
            fix="pass smaller integers, or convert with .astype(jnp.float32)",
        )


def _code(convention: str, rank: int, arguments: dict[str, Any]) -> str:
    function = FUNCTIONS[convention].format(rank=rank)
    return f"{function}(input, filters{listed(arguments)})"


def _check_sizes(spec: Spec, sizes: Sequence[int], outputs: Sequence[int]) -> None:
    if spec.rank not in _LEGIBLE:
        raise ArgumentError(
            "explain draws on paper: one or two spatial axes",
            got=f"{spec.rank} spatial axes",
            legal="1 or 2",
            fix="explain one slice of the input with one slice of the kernel",
        )
    pixels, extent, cells = _LEGIBLE[spec.rank]
    extents = [axis.extent for axis in spec.axes]
    if min(*sizes, *outputs) < 1:
        raise ArgumentError(
            "there is nothing to explain",
            got=f"an input of {_by(sizes)} pixels, and an output of {_by(outputs)}",
            legal="one pixel at least of each along every axis",
            fix="pass a larger input, or crop less",
        )
    if max(sizes) > pixels or max(extents) > extent or max(outputs) > cells:
        raise ArgumentError(
            "that is more than can be read",
            got=f"an input of {_by(sizes)} pixels, a kernel that extends over {_by(extents)}, "
            f"an output of {_by(outputs)}",
            legal=f"along each axis at most {pixels} input pixels, a kernel over {extent}, and {cells} outputs",
            fix=f"explain a part that shows the same: input of {_by([min(n, 3) for n in sizes])} pixels, "
            "with the same kernel, strides and padding"
            if max(extents) <= extent
            else "pass a smaller kernel, or a smaller dilation",
        )


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
