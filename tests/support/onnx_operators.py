"""ONNX's operators that the backend computes: ``ConvTranspose``, and the elementwise ones found around it.

Each takes a node's attributes and its inputs, with ``None`` for an optional input that is left out.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jconvt.errors import ArgumentError, ArgumentTypeError
from jconvt.onnx import conv_transpose

Attributes = Mapping[str, Any]


def _conv_transpose(attributes: Attributes, x: Any, w: Any, b: Any = None) -> jax.Array:
    return conv_transpose(x, w, b, **attributes)


def _binary(compute: Callable[[Any, Any], jax.Array]) -> Callable[..., jax.Array]:
    """``compute`` on operands broadcast as NumPy broadcasts them."""

    def computed(attributes: Attributes, a: Any, b: Any) -> jax.Array:
        del attributes
        if a.dtype != b.dtype:
            raise ArgumentTypeError(
                "the dtypes of the operands differ",
                got=f"{a.dtype} and {b.dtype}",
                legal="one dtype: ONNX promotes nothing",
                fix="convert one of them",
            )
        try:
            shape = jnp.broadcast_shapes(a.shape, b.shape)
        except ValueError as error:
            raise ArgumentError(
                "the shapes of the operands do not go together",
                got=f"{a.shape} and {b.shape}",
                legal="shapes that NumPy broadcasts: along each axis, counted from the last, equal or 1",
                fix="give the smaller one axes of size 1",
            ) from error
        return compute(jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape))

    return computed


def _floating(compute: Callable[[Attributes, Any], jax.Array]) -> Callable[..., jax.Array]:
    """``compute`` for floating-point numbers only."""

    def computed(attributes: Attributes, x: Any) -> jax.Array:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ArgumentTypeError(
                "the operator is for floating numbers",
                got=f"{x.dtype}",
                legal="float16, bfloat16, float32 or float64",
                fix="convert the input",
            )
        return compute(attributes, x)

    return computed


def _leaky_relu(attributes: Attributes, x: Any) -> jax.Array:
    slope = jnp.asarray(attributes.get("alpha", 0.01), x.dtype)
    return jnp.where(x < 0, slope * x, x)


def _clip(attributes: Attributes, x: Any, lowest: Any = None, highest: Any = None) -> jax.Array:
    """Where the bounds are crossed, the upper one holds."""
    del attributes
    for bound, choose in ((lowest, jnp.maximum), (highest, jnp.minimum)):
        if bound is not None:
            if bound.size != 1 or bound.dtype != x.dtype:
                raise ArgumentTypeError(
                    "a bound of Clip is one number of its input's dtype",
                    got=f"{bound.dtype} of shape {bound.shape}, for {x.dtype}",
                    legal=f"{x.dtype} of shape ()",
                    fix="convert the bound",
                )
            x = choose(x, bound.reshape(()))
    return x


OPERATORS: dict[str, Callable[..., jax.Array]] = {
    "Add": _binary(lax.add),
    "Clip": _clip,
    "ConvTranspose": _conv_transpose,
    "Div": _binary(lax.div),  # integers are truncated, in ONNX as in XLA
    "Identity": lambda attributes, x: x,
    "LeakyRelu": _floating(_leaky_relu),
    "Mul": _binary(lax.mul),
    "Neg": lambda attributes, x: -x,
    "Relu": lambda attributes, x: jnp.maximum(x, jnp.zeros((), x.dtype)),
    "Sigmoid": _floating(lambda attributes, x: jax.nn.sigmoid(x)),
    "Sub": _binary(lax.sub),
    "Tanh": _floating(lambda attributes, x: jnp.tanh(x)),
}
"""By the names of ONNX's default domain; ``Constant`` is no computation."""

OLDEST_OPSET = 11
"""Since when ``ConvTranspose`` and ``Clip`` mean what they mean here; the others have meant it for longer."""
