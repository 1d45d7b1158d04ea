"""The parts that published models consist of, in PyTorch and in NNX, under one name each."""

import jax
import jax.numpy as jnp
import torch
from flax import nnx
from torch.nn import functional

import jconvt
import jconvt.nnx


class Torch:
    """PyTorch's modules and functions."""

    Module, sequence, modules = torch.nn.Module, torch.nn.Sequential, staticmethod(torch.nn.ModuleList)
    relu, sigmoid, tanh, exp, sin = torch.relu, torch.sigmoid, torch.tanh, torch.exp, torch.sin
    gelu, elu, leaky_relu = functional.gelu, functional.elu, staticmethod(functional.leaky_relu)
    softmax = staticmethod(lambda x: torch.softmax(x, -1))

    @staticmethod
    def conv(rank, i, o, k, stride=1, padding=0, dilation=1, groups=1, bias=True, weight_norm=False):
        layer = getattr(torch.nn, f"Conv{rank}d")(i, o, k, stride, padding, dilation, groups, bias)
        return torch.nn.utils.weight_norm(layer) if weight_norm else layer

    @staticmethod
    def up(rank, i, o, k, stride=1, padding=0, groups=1, bias=True, weight_norm=False):
        layer = getattr(torch.nn, f"ConvTranspose{rank}d")(i, o, k, stride, padding, groups=groups, bias=bias)
        return torch.nn.utils.weight_norm(layer) if weight_norm else layer

    linear = staticmethod(lambda i, o, bias=True: torch.nn.Linear(i, o, bias))
    batch_norm = staticmethod(torch.nn.BatchNorm2d)
    instance_norm = staticmethod(lambda n: torch.nn.InstanceNorm2d(n, affine=True))
    layer_norm = staticmethod(lambda n, eps=1e-5: torch.nn.LayerNorm(n, eps))
    prelu = staticmethod(torch.nn.PReLU)
    parameter = staticmethod(lambda *shape: torch.nn.Parameter(torch.randn(shape)))

    @staticmethod
    def act(name):
        return {"relu": torch.nn.ReLU, "leaky_relu": lambda: torch.nn.LeakyReLU(0.2), "tanh": torch.nn.Tanh}[name]()

    concatenate = staticmethod(lambda xs: torch.cat(xs, 1))
    channels_last = staticmethod(lambda x: x.movedim(1, -1))
    channels_first = staticmethod(lambda x: x.movedim(-1, 1))
    max_pool = staticmethod(lambda x: functional.max_pool2d(x, 2))
    per_channel = staticmethod(lambda vector, rank: vector.reshape(-1, *[1] * rank))
    reflect_left = staticmethod(lambda x, n: functional.pad(x, (n, 0), "reflect"))
    drop_right = staticmethod(lambda x, n: x[:, :, : x.shape[-1] - n])
    repeats_modules, layers_of, einsum = True, staticmethod(list), staticmethod(torch.einsum)
    thirds = staticmethod(lambda x: torch.chunk(x, 3, -1))
    tokens = staticmethod(lambda x: x.flatten(2).transpose(1, 2))
    tokens_of = staticmethod(lambda rows, count: torch.cat(list(rows)).expand(count, -1, -1))
    pixels = staticmethod(lambda x, size: x.transpose(1, 2).unflatten(2, (size, -1)))
    normalise = staticmethod(functional.instance_norm)
    weighted = staticmethod(lambda x, kernel: torch.einsum("bchw,bc->bhw", x, kernel)[:, None])
    channels_placed = staticmethod(lambda array, count: array.expand(count, -1, -1, -1))
    nearest_up = staticmethod(lambda x: functional.interpolate(x, scale_factor=2))

    @staticmethod
    def nearest(x, codes):
        return codes.T[torch.cdist(x.flatten(0, -2), codes.T).argmin(1)].reshape(x.shape)

    class PixelNorm(torch.nn.Module):
        """Segment Anything's LayerNorm2d."""

        def __init__(self, channels):
            super().__init__()
            self.weight, self.bias = (torch.nn.Parameter(torch.ones(channels)) for _ in range(2))

        def forward(self, x):
            y = functional.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, 1e-6)
            return y.movedim(-1, 1)

    class Modulated(torch.nn.Module):
        """StyleGAN2's convolution, all of whose samples are groups of one call. Its kernel is never transposed."""

        def __init__(self, i, o, k, up=False):
            super().__init__()
            self.affine, self.up = torch.nn.Linear(6, i), up
            self.weight, self.bias = torch.nn.Parameter(torch.ones(o, i, k, k)), torch.nn.Parameter(torch.ones(o))

        def forward(self, x, styles):
            n, w = len(x), self.weight * self.affine(styles)[:, None, :, None, None]
            if w.shape[-1] > 1:
                w = w / (w.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
            x, k = x.reshape(1, -1, *x.shape[2:]), w.shape[-1]
            if self.up:
                w = w.transpose(1, 2).flatten(0, 1)
                y = functional.conv_transpose2d(x, w, None, 2, 1, 1, groups=n)
            else:
                y = functional.conv2d(x, w.flatten(0, 1), padding=k // 2, groups=n)
            return y.reshape(n, -1, *y.shape[2:]) + self.bias[:, None, None]


class NNX:
    """The same of NNX, with channels last."""

    modules = staticmethod(nnx.List)
    relu, sigmoid, tanh, elu, exp, sin = jax.nn.relu, jax.nn.sigmoid, jnp.tanh, jax.nn.elu, jnp.exp, jnp.sin
    softmax, leaky_relu = jax.nn.softmax, jax.nn.leaky_relu
    gelu = staticmethod(lambda x: jax.nn.gelu(x, approximate=False))

    class Module(nnx.Module):
        def __call__(self, *inputs):
            return self.forward(*inputs)

    @staticmethod
    def sequence(*layers):
        return nnx.Sequential(*layers)

    @staticmethod
    def conv(rank, i, o, k, stride=1, padding=0, dilation=1, groups=1, bias=True, weight_norm=False):
        options = {"kernel_dilation": dilation, "feature_group_count": groups, "use_bias": bias, "rngs": nnx.Rngs(0)}
        return nnx.Conv(i, o, (k,) * rank, stride, padding=[(padding, padding)] * rank, **options)

    @staticmethod
    def up(rank, i, o, k, stride=1, padding=0, groups=1, bias=True, weight_norm=False):
        options = {"use_consistent_padding": True, "groups": groups, "use_bias": bias, "rngs": nnx.Rngs(0)}
        return jconvt.nnx.ConvTranspose(i, o, (k,) * rank, stride, padding=padding, **options)

    linear = staticmethod(lambda i, o, bias=True: nnx.Linear(i, o, use_bias=bias, rngs=nnx.Rngs(0)))
    batch_norm = staticmethod(lambda n: nnx.BatchNorm(n, epsilon=1e-5, rngs=nnx.Rngs(0)))
    instance_norm = staticmethod(lambda n: nnx.InstanceNorm(n, epsilon=1e-5, rngs=nnx.Rngs(0)))
    layer_norm = staticmethod(lambda n, eps=1e-5: nnx.LayerNorm(n, epsilon=eps, rngs=nnx.Rngs(0)))
    prelu = staticmethod(nnx.PReLU)
    parameter = staticmethod(lambda *shape: nnx.Param(jnp.zeros(shape, jnp.float32)))

    @staticmethod
    def act(name):
        return {"relu": jax.nn.relu, "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2), "tanh": jnp.tanh}[name]

    concatenate = staticmethod(lambda xs: jnp.concatenate(xs, -1))
    channels_last = channels_first = staticmethod(lambda x: x)
    max_pool = staticmethod(lambda x: nnx.max_pool(x, (2, 2), (2, 2)))
    per_channel = staticmethod(lambda vector, rank: vector.reshape(-1))
    reflect_left = staticmethod(lambda x, n: jnp.pad(x, ((0, 0), (n, 0), (0, 0)), "reflect"))
    drop_right = staticmethod(lambda x, n: x[:, : x.shape[1] - n])
    repeats_modules, layers_of, einsum = False, staticmethod(lambda x: x.layers), staticmethod(jnp.einsum)
    thirds = staticmethod(lambda x: jnp.split(x, 3, -1))
    tokens = staticmethod(lambda x: x.reshape(len(x), -1, x.shape[-1]))
    tokens_of = staticmethod(lambda rows, count: jnp.stack([jnp.concatenate([row[...] for row in rows])] * count))
    pixels = staticmethod(lambda x, size: x.reshape(len(x), size, -1, x.shape[-1]))
    normalise = staticmethod(lambda x: jax.nn.standardize(x, (1, 2), epsilon=1e-5))
    PixelNorm = staticmethod(lambda n: nnx.LayerNorm(n, epsilon=1e-6, rngs=nnx.Rngs(0)))
    weighted = staticmethod(lambda x, kernel: jnp.einsum("bhwc,bc->bhw", x, kernel)[..., None])
    channels_placed = staticmethod(lambda array, count: jnp.stack([jnp.moveaxis(array[...], 0, -1)] * count))
    nearest_up = staticmethod(lambda x: x.repeat(2, 1).repeat(2, 2))

    @staticmethod
    def nearest(x, codes):
        rows = codes[...].T
        return rows[jnp.argmin(jnp.sum((x[..., None, :] - rows) ** 2, -1), -1)]

    class Modulated(nnx.Conv):
        """StyleGAN2's convolution, one sample at a time."""

        def __init__(self, i, o, k, up=False):
            super().__init__(i, o, (k, k), rngs=nnx.Rngs(0))
            self.affine, self.up = nnx.Linear(6, i, rngs=nnx.Rngs(0)), up

        def __call__(self, x, styles):
            return jax.vmap(self._sample)(x, self.affine(styles))

        def _sample(self, x, style):
            w = self.kernel[...] * style[:, None]
            if w.shape[0] > 1:
                w = w / jnp.sqrt(jnp.sum(w**2, (0, 1, 2)) + 1e-8)
            x, size = x[None], x.shape[0]
            if self.up:
                w = w.swapaxes(2, 3)  # (k, k, out, in): the same taps, from input to output
                y = jconvt.conv2d_transpose(x, w, (2 * size, 2 * size), 2, [(0, 0), (1, 0), (1, 0), (0, 0)])
            else:
                y = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return y[0] + self.bias[...]
