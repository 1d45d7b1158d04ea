"""The contract of a network: how it is applied, and its arrays. From it follow inference and the training step."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of some library, with random weights and one synthetic batch.

    Attributes:
      apply: called with parameters, state, the batch, and whether to train; returns outputs and the new state.
      parameters, state: pytrees of arrays. The state is what changes without a gradient, such as averages.
      batch: the operand.
      target: an array of the outputs' shape.
    """

    apply: Callable[[Any, Any, jax.Array, bool], tuple[jax.Array, Any]]
    parameters: Any
    state: Any
    batch: jax.Array
    target: jax.Array

    def inference(self, parameters: Any, state: Any, batch: jax.Array) -> jax.Array:
        """Return the outputs."""
        return self.apply(parameters, state, batch, False)[0]

    def training(
        self, parameters: Any, state: Any, batch: jax.Array, target: jax.Array, rate: jax.Array
    ) -> tuple[jax.Array, Any, Any]:
        """Return the loss, and the parameters and the state after a step of gradient descent.

        The loss is the mean square of the outputs' difference from the target.
        """

        def loss(parameters: Any) -> tuple[jax.Array, Any]:
            outputs, changed = self.apply(parameters, state, batch, True)
            return jnp.mean(jnp.square(outputs - target)), changed

        (value, changed), gradients = jax.value_and_grad(loss, has_aux=True)(parameters)
        return value, jax.tree.map(lambda p, g: p - rate * g, parameters, gradients), changed


def normal(seed: int, *shape: int) -> jax.Array:
    """Return a random array."""
    return jax.random.normal(jax.random.key(seed), shape)
