"""The generated models in Linen, NNX and Equinox: each is built, loaded from a checkpoint, called and saved."""

from collections.abc import Mapping
from typing import Any, Protocol

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

import jconvt.equinox
import jconvt.linen
import jconvt.nnx
from jconvt import weights
from jconvt.weights import Checkpoint
from tests.support.generated_models import Generated, Unit, example, get, run, tree

_RNGS = nnx.Rngs(0)
_KEY = jax.random.key(0)
_ZEROS = {"kernel_init": nn.initializers.zeros}  # other numbers come later, and these are quick


class Model(Protocol):
    """A model of one library."""

    def load(self, checkpoint: Checkpoint, x: np.ndarray, **options: Any) -> "Model":
        """Return the model with the numbers of a checkpoint."""
        ...

    def randomized(self, seed: int) -> "Model":
        """Return the model with random numbers."""
        ...

    def output(self, x: np.ndarray) -> np.ndarray:
        """Return the output for ``(n, length, channels)``."""
        ...

    def save(self) -> Checkpoint:
        """Return the model's checkpoint."""
        ...


def build(model: Generated, has_wrappers: bool = False) -> Model:
    """Return the model in its library. The wrappers compute the kernels in another way than PyTorch's."""
    return {"linen": _Linen, "nnx": _NNX, "equinox": _Equinox}[model.framework](model, has_wrappers)


def _numbers(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return random numbers, for variances and scales positive ones."""
    is_positive = any(part in name for part in ("var", "sigma", "scale"))
    return (random.uniform(0.5, 1.5, shape) if is_positive else random.normal(size=shape)).astype(np.float32)


def _convolution(unit: Unit) -> dict[str, Any]:
    return {
        "kernel_size": (unit.kernel,),
        "padding": ((unit.padding, unit.padding),),
        "kernel_dilation": (unit.dilation,),
        "feature_group_count": unit.groups,
        "use_bias": unit.bias,
        **_ZEROS,
    }


def _transposed(unit: Unit) -> dict[str, Any]:
    options = {"padding": unit.padding, "groups": unit.groups, "use_bias": unit.bias, "use_consistent_padding": True}
    return {"kernel_size": (unit.kernel,), "strides": (unit.stride,), **options, **_ZEROS}


def linen_layer(unit: Unit) -> nn.Module:
    return {
        "conv": lambda: nn.Conv(unit.outputs, **_convolution(unit)),
        "conv_transpose": lambda: jconvt.linen.ConvTranspose(unit.outputs, **_transposed(unit)),
        "dense": lambda: nn.Dense(unit.outputs, **_ZEROS),
        "batch_norm": lambda: nn.BatchNorm(use_running_average=True, epsilon=1e-5),
        "layer_norm": lambda: nn.LayerNorm(epsilon=1e-5, use_fast_variance=False),
        "prelu": nn.PReLU,
    }[unit.kind]()


def nnx_layer(unit: Unit) -> nnx.Module:
    sizes = unit.inputs, unit.outputs
    return {
        "conv": lambda: nnx.Conv(*sizes, **_convolution(unit), rngs=_RNGS),
        "conv_transpose": lambda: jconvt.nnx.ConvTranspose(*sizes, **_transposed(unit), rngs=_RNGS),
        "dense": lambda: nnx.Linear(*sizes, **_ZEROS, rngs=_RNGS),
        "batch_norm": lambda: nnx.BatchNorm(unit.outputs, epsilon=1e-5, rngs=_RNGS),
        "layer_norm": lambda: nnx.LayerNorm(unit.outputs, epsilon=1e-5, use_fast_variance=False, rngs=_RNGS),
        "prelu": nnx.PReLU,
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
        "prelu": lambda: eqx.nn.PReLU(jnp.ones((unit.slopes, 1) if unit.slopes > 1 else (), float32)),
    }[unit.kind]()


class _LinenScope(nn.Module):
    tree: Mapping[str, Any]
    has_wrappers: bool

    def setup(self):
        for part, child in self.tree.items():
            is_layer = isinstance(child, Unit)
            setattr(self, part, self.layer(child) if is_layer else _LinenScope(child, self.has_wrappers))

    def layer(self, unit):
        wrappers = {"weight_norm": nn.WeightNorm, "spectral_norm": nn.SpectralNorm}
        layer = linen_layer(unit)
        return wrappers[unit.wrapper](layer) if unit.wrapper and self.has_wrappers else layer


class _LinenModel(_LinenScope):
    model: Generated

    def __call__(self, x):
        def apply(unit, x):
            layer = get(self, self.model.targets[unit])
            return layer(x, update_stats=False) if isinstance(layer, nn.SpectralNorm) else layer(x)

        return run(self.model.steps, apply, nn.leaky_relu, x)


class _LinenCompact(nn.Module):
    model: Generated

    @nn.compact
    def __call__(self, x):
        layers: dict[Unit, nn.Module] = {}

        def apply(unit, x):
            layers[unit] = layers.get(unit) or linen_layer(unit)
            return layers[unit](x)

        return run(self.model.steps, apply, nn.leaky_relu, x)


class _Linen:
    def __init__(self, model: Generated, has_wrappers: bool):
        is_automatic = all(path[0][0].isupper() for path in model.targets.values())
        targets = tree(model.targets)
        self.module = _LinenCompact(model) if is_automatic else _LinenModel(targets, has_wrappers, model)
        self.variables: Any = None

    def load(self, checkpoint: Checkpoint, x: np.ndarray, **options: Any) -> "_Linen":
        self.variables, _ = weights.into_linen(checkpoint, self.module, jnp.asarray(x), **options)
        return self

    def randomized(self, seed: int) -> "_Linen":
        random = np.random.default_rng(seed)
        shapes = traverse_util.flatten_dict(jax.eval_shape(self.module.init, _KEY, example(seed)), sep="|")
        numbers = {name: jnp.asarray(_numbers(random, name, leaf.shape)) for name, leaf in shapes.items()}
        self.variables = traverse_util.unflatten_dict(numbers, sep="|")
        return self

    def output(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.module.apply(self.variables, jnp.asarray(x)))

    def save(self) -> Checkpoint:
        return weights.from_linen(self.variables, self.module, example(0))


def _scales(_, shape):
    """Return scales of float32, which are not variables. By default they are of float64 in 64-bit mode."""
    return jnp.linspace(0.5, 1.5, *shape, dtype=jnp.float32)


class _NNXScope(nnx.Module):
    def __init__(self, tree, has_wrappers):
        for part, child in tree.items():
            is_layer = isinstance(child, Unit)
            setattr(self, part, self.layer(child, has_wrappers) if is_layer else _NNXScope(child, has_wrappers))

    def layer(self, unit, has_wrappers):
        layer = nnx_layer(unit)
        if unit.wrapper == "weight_norm" and has_wrappers:  # its default scales are of float64 in 64-bit mode
            return nnx.WeightNorm(
                layer, scale_init=lambda _, shape: jnp.linspace(0.5, 1.5, *shape, dtype=jnp.float32), rngs=_RNGS
            )
        return nnx.SpectralNorm(layer, rngs=_RNGS) if unit.wrapper and has_wrappers else layer


class _NNXModel(_NNXScope):
    def __init__(self, model, has_wrappers):
        super().__init__(tree(model.targets), has_wrappers)
        self.model = nnx.static(model)

    def __call__(self, x):
        return run(self.model.steps, lambda unit, x: get(self, self.model.targets[unit])(x), nnx.leaky_relu, x)


class _NNX:
    def __init__(self, model: Generated, has_wrappers: bool):
        self.module = _NNXModel(model, has_wrappers)
        self.module.eval()

    def load(self, checkpoint: Checkpoint, x: np.ndarray, **options: Any) -> "_NNX":
        weights.into_nnx(checkpoint, self.module, **options)
        return self

    def randomized(self, seed: int) -> "_NNX":
        random = np.random.default_rng(seed)
        for path, variable in nnx.iter_graph(self.module):
            if isinstance(variable, nnx.Param | nnx.BatchStat):
                variable[...] = jnp.asarray(_numbers(random, str(path), variable.shape))
        return self

    def output(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(nnx.clone(self.module)(jnp.asarray(x)))  # a SpectralNorm changes with each call

    def save(self) -> Checkpoint:
        return weights.from_nnx(self.module)


def _equinox_scope(node: Any, has_wrappers: bool) -> Any:
    if isinstance(node, Unit):
        layer, wrapper = equinox_layer(node), node.wrapper if has_wrappers else ""
        if wrapper == "spectral_norm":
            return eqx.nn.SpectralNorm(layer, "weight", key=_KEY)
        return eqx.nn.WeightNorm(layer) if wrapper else layer
    children = {part: _equinox_scope(child, has_wrappers) for part, child in node.items()}
    if all(part.isdecimal() for part in node):
        return [children.get(str(i)) for i in range(1 + max(map(int, node)))]
    scope = type("Scope", (eqx.Module,), {"__annotations__": dict.fromkeys(node, Any)})
    return scope(**children)


class _Equinox:
    def __init__(self, model: Generated, has_wrappers: bool):
        self.model = model
        module, self.state = eqx.nn.make_with_state(_equinox_scope)(tree(model.targets), has_wrappers)
        self.module = eqx.nn.inference_mode(module)

    def load(self, checkpoint: Checkpoint, x: np.ndarray, **options: Any) -> "_Equinox":
        (self.module, self.state), _ = weights.into_equinox(checkpoint, self.module, state=self.state, **options)
        return self

    def randomized(self, seed: int) -> "_Equinox":
        random = np.random.default_rng(seed)
        for unit, path in self.model.targets.items():
            if unit.kind == "batch_norm":
                layer = get(self.module, path)
                statistics = tuple(jnp.asarray(_numbers(random, name, (unit.outputs,))) for name in ("mean", "var"))
                self.state = self.state.set(layer.ema_state_index, statistics)
                self.state = self.state.set(layer.ema_first_time_index, jnp.array(False))
        arrays, rest = eqx.partition(self.module, eqx.is_inexact_array)
        arrays = jax.tree.map(lambda leaf: jnp.asarray(_numbers(random, "", leaf.shape)), arrays)
        self.module = eqx.combine(arrays, rest)
        return self

    def output(self, x: np.ndarray) -> np.ndarray:
        def apply(unit: Unit, x: jax.Array) -> jax.Array:
            layer = get(self.module, self.model.targets[unit])
            if unit.kind == "batch_norm" or isinstance(layer, eqx.nn.SpectralNorm):
                call = lambda x: layer(x, self.state)[0]  # noqa: E731
            else:
                call = layer
            return jax.vmap(call, 1, 1)(x) if unit.kind in ("dense", "layer_norm") else call(x)

        call = jax.vmap(lambda each: run(self.model.steps, apply, jax.nn.leaky_relu, each))
        return np.asarray(call(jnp.asarray(x).swapaxes(1, 2)).swapaxes(1, 2))

    def save(self) -> Checkpoint:
        return weights.from_equinox(self.module, self.state)
