"""Networks that segment images: nnU-Net, MONAI's UNETR, and the mask decoder of Segment Anything."""


def nn_unet(library):
    """nnU-Net: the decoder holds the encoder, and each block lists its layers twice, so arrays have several names."""

    class Conv(library.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.conv, self.norm = library.conv(2, i, o, 3, stride, 1), library.instance_norm(o)
            if library.repeats_modules:
                self.all_modules = library.sequence(self.conv, self.norm)

        def forward(self, x):
            return library.leaky_relu(self.norm(self.conv(x)), 0.01)

    class Stack(library.Module):
        def __init__(self, i, o, stride=1):
            super().__init__()
            self.convs = library.sequence(Conv(i, o, stride), Conv(o, o, 1))

        def forward(self, x):
            return self.convs(x)

    class Encoder(library.Module):
        def __init__(self):
            super().__init__()
            stacks = [Stack(3, 4), Stack(4, 6, 2), Stack(6, 8, 2)]
            self.stages = library.sequence(*(library.sequence(stack) for stack in stacks))

        def forward(self, x):
            skips = []
            for stage in library.layers_of(self.stages):
                x = stage(x)
                skips.append(x)
            return skips

    class Decoder(library.Module):
        def __init__(self, encoder):
            super().__init__()
            if library.repeats_modules:
                self.encoder = encoder
            self.stages = library.modules([Stack(12, 6), Stack(8, 4)])
            self.transpconvs = library.modules([library.up(2, 8, 6, 2, 2), library.up(2, 6, 4, 2, 2)])
            self.seg_layers = library.modules([library.conv(2, 6, 3, 1), library.conv(2, 4, 3, 1)])

        def forward(self, skips):
            x, masks = skips[-1], []
            for up, stage, head, skip in zip(
                self.transpconvs, self.stages, self.seg_layers, skips[-2::-1], strict=True
            ):
                x = stage(library.concatenate([up(x), skip]))
                masks.append(head(x))
            return masks[1] + library.nearest_up(masks[0])

    class Network(library.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Encoder()
            self.decoder = Decoder(self.encoder)

        def forward(self, x):
            return self.decoder(self.encoder(x))

    return Network()


def _attend(library, q, k, v):
    """Return the result of an attention layer with two heads."""
    q, k, v = (each.reshape(*each.shape[:-1], 2, -1) for each in (q, k, v))
    scores = library.softmax(library.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5)
    found = library.einsum("bhqk,bkhd->bqhd", scores, v)
    return found.reshape(*found.shape[:-2], -1)


def unetr(library):
    """MONAI's UNETR in 2-D: a transformer on patches, and a convolutional decoder on its hidden states."""

    class Named(library.Module):  # MONAI's Convolution
        def __init__(self, conv):
            super().__init__()
            self.conv = conv

        def forward(self, x):
            return self.conv(x)

    def conv(i, o, k):
        return Named(library.conv(2, i, o, k, 1, k // 2, bias=False))

    def up(i, o):
        return Named(library.up(2, i, o, 2, 2, bias=False))

    class Residual(library.Module):
        def __init__(self, i, o):
            super().__init__()
            self.conv1, self.conv2 = conv(i, o, 3), conv(o, o, 3)
            if i != o:
                self.conv3 = conv(i, o, 1)
            self.is_projected = i != o

        def forward(self, x):
            y = library.leaky_relu(library.normalise(self.conv1(x)), 0.01)
            y = library.normalise(self.conv2(y))
            x = library.normalise(self.conv3(x)) if self.is_projected else x
            return library.leaky_relu(x + y, 0.01)

    class Basic(library.Module):
        def __init__(self, i, o):
            super().__init__()
            self.layer = Residual(i, o)

        def forward(self, x):
            return self.layer(x)

    class Projection(library.Module):  # several steps up from a hidden state
        def __init__(self, i, o, steps):
            super().__init__()
            self.transp_conv_init = up(i, o)
            blocks = [library.sequence(up(o, o), Residual(o, o)) for _ in range(steps)]
            self.blocks = library.modules(blocks)

        def forward(self, x):
            x = self.transp_conv_init(x)
            for block in self.blocks:
                x = block(x)
            return x

    class Up(library.Module):
        def __init__(self, i, o):
            super().__init__()
            self.transp_conv, self.conv_block = up(i, o), Residual(2 * o, o)

        def forward(self, x, skip):
            return self.conv_block(library.concatenate([self.transp_conv(x), skip]))

    class SelfAttention(library.Module):
        def __init__(self, hidden):
            super().__init__()
            self.out_proj, self.qkv = library.linear(hidden, hidden), library.linear(hidden, 3 * hidden, bias=False)

        def forward(self, x):
            return self.out_proj(_attend(library, *library.thirds(self.qkv(x))))

    class Mlp(library.Module):
        def __init__(self, hidden):
            super().__init__()
            self.linear1, self.linear2 = library.linear(hidden, 12), library.linear(12, hidden)

        def forward(self, x):
            return self.linear2(library.gelu(self.linear1(x)))

    class Block(library.Module):
        def __init__(self, hidden):
            super().__init__()
            self.mlp, self.norm1 = Mlp(hidden), library.layer_norm(hidden)
            self.attn, self.norm2 = SelfAttention(hidden), library.layer_norm(hidden)

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Patches(library.Module):
        def __init__(self, hidden):
            super().__init__()
            self.position_embeddings = library.parameter(1, 4, hidden)
            self.patch_embeddings = library.conv(2, 3, hidden, 8, 8)

        def forward(self, x):
            return library.tokens(self.patch_embeddings(x)) + self.position_embeddings

    class Transformer(library.Module):
        def __init__(self, hidden):
            super().__init__()
            self.patch_embedding = Patches(hidden)
            self.blocks = library.modules([Block(hidden) for _ in range(3)])
            self.norm = library.layer_norm(hidden)

        def forward(self, x):
            x, states = self.patch_embedding(x), []
            for block in self.blocks:
                x = block(x)
                states.append(x)
            return self.norm(x), states

    class Network(library.Module):
        def __init__(self, hidden=6):
            super().__init__()
            self.vit = Transformer(hidden)
            self.encoder1, self.encoder2 = Basic(3, 2), Projection(hidden, 3, 1)
            self.encoder3 = Projection(hidden, 4, 0)
            self.decoder4, self.decoder3, self.decoder2 = Up(hidden, 4), Up(4, 3), Up(3, 2)
            self.out = Named(Named(library.conv(2, 2, 3, 1)))

        def forward(self, image):
            x, states = self.vit(image)
            states = [library.pixels(each, 2) for each in states]
            skips = self.encoder1(image), self.encoder2(states[0]), self.encoder3(states[1])
            x = self.decoder4(library.pixels(x, 2), skips[2])
            return self.out(self.decoder2(self.decoder3(x, skips[1]), skips[0]))

    return Network()


def sam_mask_decoder(library):
    """The mask decoder of Segment Anything: tokens and an image attend to each other; a kernel follows from a token."""

    class Attention(library.Module):
        def __init__(self, channels, inner):
            super().__init__()
            self.q_proj, self.k_proj, self.v_proj = (library.linear(channels, inner) for _ in "qkv")
            self.out_proj = library.linear(inner, channels)

        def forward(self, q, k, v):
            return self.out_proj(_attend(library, self.q_proj(q), self.k_proj(k), self.v_proj(v)))

    class MlpBlock(library.Module):
        def __init__(self, channels):
            super().__init__()
            self.lin1, self.lin2 = library.linear(channels, 12), library.linear(12, channels)

        def forward(self, x):
            return self.lin2(library.relu(self.lin1(x)))

    class Block(library.Module):
        def __init__(self, channels):
            super().__init__()
            self.self_attn, self.norm1 = Attention(channels, channels), library.layer_norm(channels)
            self.cross_attn_token_to_image = Attention(channels, channels // 2)
            self.norm2, self.mlp = library.layer_norm(channels), MlpBlock(channels)
            self.norm3, self.norm4 = library.layer_norm(channels), library.layer_norm(channels)
            self.cross_attn_image_to_token = Attention(channels, channels // 2)

        def forward(self, tokens, image):
            tokens = self.norm1(tokens + self.self_attn(tokens, tokens, tokens))
            tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens, image, image))
            tokens = self.norm3(tokens + self.mlp(tokens))
            return tokens, self.norm4(image + self.cross_attn_image_to_token(image, tokens, tokens))

    class Transformer(library.Module):
        def __init__(self, channels):
            super().__init__()
            self.layers = library.modules([Block(channels) for _ in range(2)])
            self.final_attn_token_to_image = Attention(channels, channels // 2)
            self.norm_final_attn = library.layer_norm(channels)

        def forward(self, tokens, image):
            for layer in self.layers:
                tokens, image = layer(tokens, image)
            attended = self.final_attn_token_to_image(tokens, image, image)
            return self.norm_final_attn(tokens + attended), image

    class Mlp(library.Module):
        def __init__(self, i, o):
            super().__init__()
            self.layers = library.modules([library.linear(i, i), library.linear(i, i), library.linear(i, o)])

        def forward(self, x):
            for layer in self.layers[:-1]:
                x = library.relu(layer(x))
            return self.layers[-1](x)

    class Gelu(library.Module):
        def forward(self, x):
            return library.gelu(x)

    class Tokens(library.Module):
        def __init__(self, count, channels):
            super().__init__()
            self.weight = library.parameter(count, channels)

    class Decoder(library.Module):
        def __init__(self, channels=8):
            super().__init__()
            self.transformer = Transformer(channels)
            self.iou_token, self.mask_tokens = Tokens(1, channels), Tokens(3, channels)
            ups = library.up(2, channels, channels // 2, 2, 2), library.up(2, channels // 2, channels // 4, 2, 2)
            norm = library.PixelNorm(channels // 2)
            self.output_upscaling = library.sequence(ups[0], norm, Gelu(), ups[1], Gelu())
            self.output_hypernetworks_mlps = library.modules([Mlp(channels, channels // 4) for _ in range(3)])
            self.iou_prediction_head = Mlp(channels, 3)

        def forward(self, image):
            size = library.channels_last(image).shape[1]
            tokens = library.tokens_of([self.iou_token.weight, self.mask_tokens.weight], len(image))
            tokens, x = self.transformer(tokens, library.tokens(image))
            x = self.output_upscaling(library.pixels(x, size))
            kernels = [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)]
            scores = self.iou_prediction_head(tokens[:, 0])
            masks = [library.weighted(x, kernel) * scores[:, i].sum() for i, kernel in enumerate(kernels)]
            return library.concatenate(masks)

    return Decoder()
