"""The network as it leaves torch: bytes in, named outputs out, in the layouts that ModelSpec states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgehrnet.models.layers.output import Output


def network_input(image: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Map u8 ``[B, H, W, C]`` to float ``[B, C, H, W]``: ``(u8 / 255 - mean) / std``.

    C = 4, RGB + mask: the mask becomes 0 or 1, and where it is 0, all channels are 0. C = 3, RGB: padding is black and
    like any black pixel, as the published networks were trained.

    The result shares the bytes' order in memory, which torch calls channels_last.
    """
    # Cast first: TensorRT moves no bytes about.
    x = image.to(torch.float32).permute(0, 3, 1, 2) / 255
    masked = image.shape[3] == 4
    if any(mean) or any(s != 1 for s in std):
        shift = torch.tensor([*mean, 0.0] if masked else mean, device=x.device)[:, None, None]
        scale = torch.tensor([*std, 1.0] if masked else std, device=x.device)[:, None, None]
        # Behind the mask, padding stays exactly zero, as the convolutions' own padding is.
        x = (x - (shift * x[:, 3:] if masked else shift)) / scale
    return x


class Deployed(nn.Module):
    """Wraps a network for export: u8 ``[B, H, W, C]`` -> heatmaps and offsets NCHW, hf NHWC, float32.

    Extras follow under their own names, NCHW. ``dtype`` is what the network computes in.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std, self.dtype = mean, std, dtype

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Run the network on a batch of letterboxed pictures."""
        output: Output = self.network(network_input(image, self.mean, self.std).to(self.dtype))
        named = {"heatmaps": output.heatmaps}
        if output.offsets is not None:
            named["offsets"] = output.offsets
        named["hf"] = output.hf.permute(0, 2, 3, 1)
        return {name: tensor.float() for name, tensor in {**named, **output.extras}.items()}
