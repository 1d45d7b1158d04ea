"""The generated models in Linen, NNX and Equinox: each is loaded from a checkpoint, and called."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jconvt.equinox
import jconvt.linen
import jconvt.nnx
from jconvt import weights
from jconvt.weights import Checkpoint
from tests.support.generated_models import Generated, Unit, get, run, tree

_RNGS = nnx.Rngs(0)
_KEY = jax.random.key(0)


def load(model: Generated, checkpoint: Checkpoint, x: np.ndarray, **options: Any) -> np.ndarray:
    """Return the output of the loaded model for ``(n, length, channels)``."""
    return {"linen": _load_linen, "nnx": _load_nnx, "equinox": _load_equinox}[model.library](
        model, checkpoint, jnp.asarray(x), **options
    )


def _convolution(unit: Unit) -> dict[str, Any]:
    return {
        "kernel_size": (unit.kernel,),
        "padding": ((unit.padding, unit.padding),),
        "kernel_dilation": (unit.dilation,),
        "feature_group_count": unit.groups,
        "use_bias": unit.bias,
    }


def _transposed(unit: Unit) -> dict[str, Any]:
    options = {"padding": unit.padding, "groups": unit.groups, "use_bias": unit.bias, "use_consistent_padding": True}
    return {"kernel_size": (unit.kernel,), "strides": (unit.stride,), **options}


def linen_layer(unit: Unit) -> nn.Module:
    return {
        "conv": lambda: nn.Conv(unit.outputs, **_convolution(unit)),
        "conv_transpose": lambda: jconvt.linen.ConvTranspose(unit.outputs, **_transposed(unit)),
        "dense": lambda: nn.Dense(unit.outputs),
        "batch_norm": lambda: nn.BatchNorm(use_running_average=True, epsilon=1e-5),
        "layer_norm": lambda: nn.LayerNorm(epsilon=1e-5, use_fast_variance=False),
    }[unit.kind]()


def nnx_layer(unit: Unit) -> nnx.Module:
    sizes = unit.inputs, unit.outputs
    return {
        "conv": lambda: nnx.Conv(*sizes, **_convolution(unit), rngs=_RNGS),
        "conv_transpose": lambda: jconvt.nnx.ConvTranspose(*sizes, **_transposed(unit), rngs=_RNGS),
        "dense": lambda: nnx.Linear(*sizes, rngs=_RNGS),
        "batch_norm": lambda: nnx.BatchNorm(unit.outputs, epsilon=1e-5, rngs=_RNGS),
        "layer_norm": lambda: nnx.LayerNorm(unit.outputs, epsilon=1e-5, use_fast_variance=False, rngs=_RNGS),
    }[unit.kind]()


def equinox_layer(unit: Unit) -> eqx.Module:
    sizes, float32 = (unit.inputs, unit.outputs), jnp.float32
    options = {"padding": unit.padding, "dilation": unit.dilation, "groups": unit.groups, "use_bias": unit.bias}
    options |= {"kernel_size": unit.kernel, "stride": unit.stride, "dtype": float32, "key": _KEY}
    return {
        "conv": lambda: eqx.nn.Conv1d(*sizes, **options),
        "conv_transpose": lambda: jconvt.equinox.ConvTranspose1d(*sizes, **options),
        "dense": lambda: eqx.nn.Linear(*sizes, dtype=float32, key=_KEY),
        "batch_norm": lambda: eqx.nn.BatchNorm(unit.outputs, axis_name="batch", mode="ema", dtype=float32),
        "layer_norm": lambda: eqx.nn.LayerNorm(unit.outputs, dtype=float32),
    }[unit.kind]()


class _LinenScope(nn.Module):
    tree: Mapping[str, Any]

    def setup(self):
        for part, child in self.tree.items():
            setattr(self, part, linen_layer(child) if isinstance(child, Unit) else _LinenScope(child))


class _LinenModel(_LinenScope):
    model: Generated

    def __call__(self, x):
        return run(self.model.steps, lambda unit, x: get(self, self.model.targets[unit])(x), nn.leaky_relu, x)


class _LinenCompact(nn.Module):
    model: Generated

    @nn.compact
    def __call__(self, x):
        layers: dict[Unit, nn.Module] = {}

        def apply(unit, x):
            layers[unit] = layers.get(unit) or linen_layer(unit)
            return layers[unit](x)

        return run(self.model.steps, apply, nn.leaky_relu, x)


def _load_linen(model: Generated, checkpoint: Checkpoint, x: jax.Array, **options: Any) -> np.ndarray:
    is_automatic = all(path[0][0].isupper() for path in model.targets.values())
    module = _LinenCompact(model) if is_automatic else _LinenModel(tree(model.targets), model)
    variables, _ = weights.into_linen(checkpoint, module, x, **options)
    return np.asarray(module.apply(variables, x))


class _NNXScope(nnx.Module):
    def __init__(self, tree):
        for part, child in tree.items():
            setattr(self, part, nnx_layer(child) if isinstance(child, Unit) else _NNXScope(child))


class _NNXModel(_NNXScope):
    def __init__(self, model):
        super().__init__(tree(model.targets))
        self.model = nnx.static(model)

    def __call__(self, x):
        return run(self.model.steps, lambda unit, x: get(self, self.model.targets[unit])(x), nnx.leaky_relu, x)


def _load_nnx(model: Generated, checkpoint: Checkpoint, x: jax.Array, **options: Any) -> np.ndarray:
    target = _NNXModel(model)
    weights.into_nnx(checkpoint, target, **options)
    target.eval()
    return np.asarray(target(x))


def _equinox_scope(node: Any) -> Any:
    if isinstance(node, Unit):
        return equinox_layer(node)
    if all(part.isdecimal() for part in node):
        return [_equinox_scope(node[str(i)]) if str(i) in node else None for i in range(1 + max(map(int, node)))]
    scope = type("Scope", (eqx.Module,), {"__annotations__": dict.fromkeys(node, Any)})
    return scope(**{part: _equinox_scope(child) for part, child in node.items()})


def _load_equinox(model: Generated, checkpoint: Checkpoint, x: jax.Array, **options: Any) -> np.ndarray:
    target, state = eqx.nn.make_with_state(_equinox_scope)(tree(model.targets))
    (target, state), _ = weights.into_equinox(checkpoint, target, state=state, **options)
    target = eqx.nn.inference_mode(target)

    def apply(unit: Unit, x: jax.Array) -> jax.Array:
        layer = get(target, model.targets[unit])
        if unit.kind == "batch_norm":
            return layer(x, state)[0]
        return jax.vmap(layer, 1, 1)(x) if unit.kind in ("dense", "layer_norm") else layer(x)

    call = jax.vmap(lambda each: run(model.steps, apply, jax.nn.leaky_relu, each))
    return np.asarray(call(x.swapaxes(1, 2)).swapaxes(1, 2))
