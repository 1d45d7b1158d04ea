"""Networks from images to images: pix2pix, CenterNet, VQ-VAE-2 and StyleGAN2."""


def pix2pix(library):
    """The generator of pix2pix: a U-Net of blocks that are nested in the middle of each other."""

    class Block(library.Module):
        def __init__(self, outer, inner, inside=None, inputs=None, outermost=False):
            super().__init__()
            down = library.conv(2, inputs or outer, inner, 4, 2, 1, bias=False)
            up = library.up(2, inner * (1 if inside is None else 2), outer, 4, 2, 1, bias=outermost)
            leaky, relu = library.act("leaky_relu"), library.act("relu")
            if outermost:
                layers = [down, inside, relu, up, library.act("tanh")]
            elif inside is None:
                layers = [leaky, down, relu, up, library.batch_norm(outer)]
            else:
                layers = [leaky, down, library.batch_norm(inner), inside, relu, up, library.batch_norm(outer)]
            self.model, self.outermost = library.sequence(*layers), outermost

        def forward(self, x):
            return self.model(x) if self.outermost else library.concatenate([x, self.model(x)])

    class Generator(library.Module):
        def __init__(self):
            super().__init__()
            middle = Block(4, 8, Block(8, 8, Block(8, 8)))
            self.model = Block(3, 4, middle, inputs=3, outermost=True)

        def forward(self, x):
            return self.model(x)

    return Generator()


def center_net(library):
    """The upsampling of CenterNet: transposed convolutions with one group for each channel, then several heads."""

    def conv(i, o):
        return library.sequence(library.conv(2, i, o, 3, 1, 1), library.batch_norm(o), library.act("relu"))

    class Aggregation(library.Module):
        def __init__(self, channels, sizes):
            super().__init__()
            for i, size in enumerate(sizes[1:], start=1):
                setattr(self, f"proj_{i}", conv(size, channels))
                up = library.up(2, channels, channels, 4, 2, 1, groups=channels, bias=False)
                setattr(self, f"up_{i}", up)
                setattr(self, f"node_{i}", conv(channels, channels))
            self.count = len(sizes)

        def forward(self, layers):
            x = layers[0]
            for i in range(1, self.count):
                project, up, node = (getattr(self, f"{name}_{i}") for name in ("proj", "up", "node"))
                x = node(up(project(layers[i])) + x)
            return x

    class Detector(library.Module):
        def __init__(self):
            super().__init__()
            self.base, self.down = conv(3, 4), library.conv(2, 4, 6, 2, 2)
            self.ida_up = Aggregation(4, [4, 6])
            for name, channels in (("hm", 5), ("wh", 2), ("reg", 2)):
                head = [library.conv(2, 4, 4, 3, 1, 1), library.act("relu"), library.conv(2, 4, channels, 1)]
                setattr(self, name, library.sequence(*head))

        def forward(self, x):
            x = self.base(x)
            x = self.ida_up([x, self.down(x)])
            return library.concatenate([library.sigmoid(self.hm(x)), self.wh(x), self.reg(x)])

    return Detector()


def vq_vae_2(library):
    """VQ-VAE-2, with two levels of codes. Its sequences have a block of two or three layers at different numbers."""

    class Residual(library.Module):
        def __init__(self, channels):
            super().__init__()
            relu, first = library.act("relu"), library.conv(2, channels, 2, 3, 1, 1)
            self.conv = library.sequence(relu, first, library.act("relu"), library.conv(2, 2, channels, 1))

        def forward(self, x):
            return x + self.conv(x)

    class Sequence(library.Module):
        def __init__(self, *layers):
            super().__init__()
            self.blocks = library.sequence(*layers)

        def forward(self, x):
            return self.blocks(x)

    def relu():
        return library.act("relu")

    def encoder(i, stride):
        down = [library.conv(2, i, 4, 4, 2, 1), relu()]
        down += [library.conv(2, 4, 8, 4, 2, 1), relu()] if stride == 4 else []
        return Sequence(*down, library.conv(2, 8 if stride == 4 else 4, 8, 3, 1, 1), Residual(8), Residual(8), relu())

    def decoder(i, o, stride):
        up = [library.up(2, 8, 4, 4, 2, 1), relu(), library.up(2, 4, o, 4, 2, 1)]
        up = up if stride == 4 else [library.up(2, 8, o, 4, 2, 1)]
        return Sequence(library.conv(2, i, 8, 3, 1, 1), Residual(8), Residual(8), relu(), *up)

    class Quantise(library.Module):
        def __init__(self):
            super().__init__()
            self.embed = library.parameter(4, 6)  # with codes as columns

        def forward(self, x):
            codes = library.channels_first(library.nearest(library.channels_last(x), self.embed))
            return codes, ((codes - x) ** 2).mean()

    class Model(library.Module):
        def __init__(self):
            super().__init__()
            self.enc_b, self.enc_t = encoder(3, 4), encoder(8, 2)
            self.quantize_conv_t, self.quantize_t = library.conv(2, 8, 4, 1), Quantise()
            self.dec_t = decoder(4, 4, 2)
            self.quantize_conv_b, self.quantize_b = library.conv(2, 12, 4, 1), Quantise()
            self.upsample_t = library.up(2, 4, 4, 4, 2, 1)
            self.dec = decoder(8, 3, 4)

        def forward(self, x):
            bottom = self.enc_b(x)
            top, top_loss = self.quantize_t(self.quantize_conv_t(self.enc_t(bottom)))
            bottom = library.concatenate([self.dec_t(top), bottom])
            bottom, bottom_loss = self.quantize_b(self.quantize_conv_b(bottom))
            return self.dec(library.concatenate([self.upsample_t(top), bottom])) + top_loss + bottom_loss

    return Model()


def style_gan_2(library):
    """StyleGAN2's synthesis: styles scale the channels of each kernel, and the upsampling is transposed."""

    class Block(library.Module):
        def __init__(self, channels, images):
            super().__init__()
            self.conv0 = library.Modulated(channels, channels, 3, up=True)
            self.conv1 = library.Modulated(channels, channels, 3)
            self.torgb = library.Modulated(channels, images, 1)

        def forward(self, x, styles):
            x = library.leaky_relu(self.conv0(x, styles), 0.2)
            x = library.leaky_relu(self.conv1(x, styles), 0.2)
            return x, self.torgb(x, styles)

    class Generator(library.Module):
        def __init__(self):
            super().__init__()
            self.mapping = library.sequence(library.linear(6, 6), library.act("leaky_relu"), library.linear(6, 6))
            self.const = library.parameter(5, 4, 4)
            self.b8, self.b16 = Block(5, 3), Block(5, 3)

        def forward(self, z):
            styles = self.mapping(z)
            x, first = self.b8(library.channels_placed(self.const, len(z)), styles)
            _, second = self.b16(x, styles)
            return library.nearest_up(first) + second

    return Generator()
