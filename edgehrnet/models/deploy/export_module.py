"""Wrap a network for export: uint8 pictures in, named outputs in the layouts that ModelSpec states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgehrnet.models.layers.output import Output


def network_input(image: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Convert uint8 ``[B, H, W, C]`` to float ``[B, C, H, W]``: ``(image / 255 - mean) / std``.

    With C = 4 (RGB + mask), the mask becomes 0 or 1, and all channels are 0 where it is 0. With C = 3 (RGB), padding is
    treated as any black pixel, as in the training of the published networks.

    Args:
        image: Letterboxed pictures ``[B, H, W, C]``, uint8.
        mean: Mean of R, G and B in 0..1.
        std: Standard deviation of R, G and B in 0..1.

    Returns:
        Input ``[B, C, H, W]`` of the network, float32, in the memory format channels_last.
    """
    # Cast before permuting, because TensorRT cannot transpose uint8.
    x = image.to(torch.float32).permute(0, 3, 1, 2) / 255
    masked = image.shape[3] == 4
    mean, std = mean[: image.shape[3]], std[: image.shape[3]]  # one number for gray
    if any(mean) or any(s != 1 for s in std):
        shift = torch.tensor([*mean, 0.0] if masked else mean, device=x.device)[:, None, None]
        scale = torch.tensor([*std, 1.0] if masked else std, device=x.device)[:, None, None]
        # Padding stays exactly zero where the mask is 0, like the padding of convolutions.
        x = (x - (shift * x[:, 3:] if masked else shift)) / scale
    return x


class Deployed(nn.Module):
    """A network as it is exported: uint8 ``[B, H, W, C]`` -> named float32 outputs.

    The outputs are ``heatmaps`` and ``offsets`` in NCHW, ``hf`` (high-resolution features) in NHWC, and the extras by
    name in NCHW.

    Args:
        network: The network to wrap.
        mean: Mean of R, G and B in 0..1.
        std: Standard deviation of R, G and B in 0..1.
        dtype: Dtype that the network computes in.
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
        """Run the network on a batch of letterboxed pictures, uint8 ``[B, H, W, C]``."""
        output: Output = self.network(network_input(image, self.mean, self.std).to(self.dtype))
        named = {"heatmaps": output.heatmaps}
        if output.offsets is not None:
            named["offsets"] = output.offsets
        named["hf"] = output.hf.permute(0, 2, 3, 1)
        return {name: tensor.float() for name, tensor in {**named, **output.extras}.items()}
