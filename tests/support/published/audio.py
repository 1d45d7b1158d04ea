"""Vocoders and the decoders of audio codecs."""


def hifi_gan(library):
    """HiFi-GAN's generator, with residual blocks of two lists of convolutions of equal shapes."""

    def conv(i, o, k, dilation=1):
        return library.conv(1, i, o, k, 1, (k - 1) * dilation // 2, dilation, weight_norm=True)

    class ResBlock(library.Module):
        def __init__(self, channels):
            super().__init__()
            self.convs1 = library.modules([conv(channels, channels, 3, dilation) for dilation in (1, 3)])
            self.convs2 = library.modules([conv(channels, channels, 3) for _ in (1, 3)])

        def forward(self, x):
            for first, second in zip(self.convs1, self.convs2, strict=True):
                x = x + second(library.leaky_relu(first(library.leaky_relu(x, 0.1)), 0.1))
            return x

    class Generator(library.Module):
        def __init__(self):
            super().__init__()
            self.conv_pre = conv(6, 8, 7)
            ups = [library.up(1, 8, 4, 4, 2, 1, weight_norm=True), library.up(1, 4, 2, 8, 4, 2, weight_norm=True)]
            self.ups = library.modules(ups)
            self.resblocks = library.modules([ResBlock(channels) for channels in (4, 4, 2, 2)])
            self.conv_post = conv(2, 1, 7)

        def forward(self, x):
            x = self.conv_pre(x)
            for i, up in enumerate(self.ups):
                x = up(library.leaky_relu(x, 0.1))
                x = (self.resblocks[2 * i](x) + self.resblocks[2 * i + 1](x)) / 2
            return library.tanh(self.conv_post(library.leaky_relu(x)))

    return Generator()


def _snake(library, channels):
    class Snake(library.Module):
        def __init__(self):
            super().__init__()
            self.alpha = library.parameter(1, channels, 1)

        def forward(self, x):
            alpha = library.per_channel(self.alpha, 1)
            return x + library.sin(alpha * x) ** 2 / (alpha + 1e-9)

    return Snake()


def dac(library):
    """The decoder of the Descript audio codec: everything is in sequences, and activations have parameters."""

    class Residual(library.Module):
        def __init__(self, channels, dilation):
            super().__init__()
            self.block = library.sequence(
                _snake(library, channels),
                library.conv(1, channels, channels, 7, 1, 3 * dilation, dilation, weight_norm=True),
                _snake(library, channels),
                library.conv(1, channels, channels, 1, weight_norm=True),
            )

        def forward(self, x):
            return x + self.block(x)

    class Block(library.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            up = library.up(1, i, o, 2 * stride, stride, stride // 2, weight_norm=True)
            self.block = library.sequence(_snake(library, i), up, *(Residual(o, dilation) for dilation in (1, 3, 9)))

        def forward(self, x):
            return self.block(x)

    class Decoder(library.Module):
        def __init__(self):
            super().__init__()
            first, last = (library.conv(1, i, o, 7, 1, 3, weight_norm=True) for i, o in ((6, 8), (2, 1)))
            blocks = [Block(8, 4, 4), Block(4, 2, 2)]
            self.model = library.sequence(first, *blocks, _snake(library, 2), last, library.act("tanh"))

        def forward(self, x):
            return self.model(x)

    return Decoder()


def encodec(library):
    """The decoder of EnCodec, without its LSTM: causal, and every layer is in two modules of one name."""

    class Wrapper(library.Module):
        def __init__(self, name, layer):
            super().__init__()
            setattr(self, name, layer)
            self.name = name

        def forward(self, x):
            return getattr(self, self.name)(x)

    class Conv(library.Module):
        def __init__(self, i, o, k):
            super().__init__()
            self.conv, self.reach = Wrapper("conv", library.conv(1, i, o, k, weight_norm=True)), k - 1

        def forward(self, x):
            return self.conv(library.reflect_left(x, self.reach) if self.reach else x)

    class Up(library.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.convtr = Wrapper("convtr", library.up(1, i, o, 2 * stride, stride, weight_norm=True))
            self.stride = stride

        def forward(self, x):
            return library.drop_right(self.convtr(x), self.stride)

    class Residual(library.Module):
        def __init__(self, channels):
            super().__init__()
            convs = [Conv(channels, channels // 2, 3), Conv(channels // 2, channels, 1)]
            self.block = library.modules([_elu(library), convs[0], _elu(library), convs[1]])
            self.shortcut = Conv(channels, channels, 1)

        def forward(self, x):
            y = x
            for each in self.block:
                y = each(y)
            return self.shortcut(x) + y

    class Decoder(library.Module):
        def __init__(self):
            super().__init__()
            body = [_elu(library), Up(8, 4, 4), Residual(4), _elu(library), Up(4, 2, 2), Residual(2)]
            self.model = library.sequence(Conv(6, 8, 7), *body, _elu(library), Conv(2, 1, 7))

        def forward(self, x):
            return self.model(x)

    return Decoder()


def _elu(library):
    class ELU(library.Module):
        def forward(self, x):
            return library.elu(x)

    return ELU()


def vocos(library):
    """Vocos: ConvNeXt blocks and the spectrum that its inverse transform gets."""

    class Block(library.Module):
        def __init__(self, channels):
            super().__init__()
            self.dwconv = library.conv(1, channels, channels, 7, 1, 3, groups=channels)
            self.norm = library.layer_norm(channels, 1e-6)
            self.pwconv1 = library.linear(channels, 3 * channels)
            self.pwconv2 = library.linear(3 * channels, channels)
            self.gamma = library.parameter(channels)

        def forward(self, x):
            y = self.norm(library.channels_last(self.dwconv(x)))
            y = self.gamma * self.pwconv2(library.gelu(self.pwconv1(y)))
            return x + library.channels_first(y)

    class Backbone(library.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm = library.conv(1, 6, 8, 7, 1, 3), library.layer_norm(8, 1e-6)
            self.convnext = library.modules([Block(8) for _ in range(3)])
            self.final_layer_norm = library.layer_norm(8, 1e-6)

        def forward(self, x):
            x = library.channels_first(self.norm(library.channels_last(self.embed(x))))
            for block in self.convnext:
                x = block(x)
            return self.final_layer_norm(library.channels_last(x))

    class Head(library.Module):
        def __init__(self):
            super().__init__()
            self.out = library.linear(8, 18)

        def forward(self, x):
            x = self.out(x)
            return library.exp(x[..., :9]) * library.sin(x[..., 9:])

    class Vocos(library.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = Backbone(), Head()

        def forward(self, x):
            return library.channels_first(self.head(self.backbone(x)))

    return Vocos()
