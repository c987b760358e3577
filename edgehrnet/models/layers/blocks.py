"""Provide the building blocks of the networks: convolutions with BN and activation, LiteBlock, Down, Up and smooth.

BN is batch normalization. It follows every convolution except prediction layers and gates. So every BN can be folded
into a convolution, and fake quantization has one place, after the activation.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgehrnet.models.layers.style import Style

TINY = 1e-8


class Convolution(nn.Module):
    """A convolution with the BN and the activation after it, quantized as one unit.

    Args:
        stride: Stride of the convolution.
        padding: Zero padding of the convolution, in cells.
        groups: Number of groups of the convolution.
        act: Activation.
    """

    quantize_weight: nn.Module | None
    """Quantizer of the weights after BN is folded into them. None in a float network."""

    act: nn.Module
    """Activation, possibly the identity."""

    def __init__(self, stride: int, padding: int, groups: int, act: nn.Module) -> None:
        super().__init__()
        self.stride, self.padding, self.groups = stride, padding, groups
        self.act = act
        self.register_module("quantize_weight", None)

    def folded(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias of the single convolution that is equivalent at inference.

        Args:
            dtype: Dtype to compute in. None keeps the dtype of the weights.

        Returns:
            Weight ``[Co, Ci / groups, kh, kw]`` and bias ``[Co]`` or None, with the running statistics of BN folded in.
        """
        raise NotImplementedError

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve ``[B, Ci, H, W]`` to ``[B, Co, ceil(H/stride), ceil(W/stride)]`` without the activation."""
        return F.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, Ci, H, W]`` to ``[B, Co, ceil(H/stride), ceil(W/stride)]``."""
        weight, bias = self.folded()
        if self.quantize_weight is not None:
            weight = self.quantize_weight(weight)
        y: Tensor = self.act(self.convolve(x, weight, bias))
        return y


class ConvBNAct(Convolution):
    """Convolution with 'same' padding, then BN (eps 1e-5), then the activation of the style.

    Maps ``[B, Ci, H, W]`` to ``[B, Co, ceil(H/stride), ceil(W/stride)]``. The children are called ``conv``, ``bn`` and
    ``act``.

    Args:
        in_channels: Input channels Ci.
        out_channels: Output channels Co.
        kernel: Side of the square kernel, odd.
        style: Activation and in-place choice. A linear style makes ``act`` the identity.
        stride: Stride of the convolution.
        groups: Number of groups of the convolution.
        bias: Give the convolution a bias. BN makes it redundant, but some published networks have one.
        norm: Add the BN. If False, ``bn`` is the identity.

    >>> ConvBNAct(4, 8, 3, Style(), stride=2)(torch.zeros(1, 4, 6, 8)).shape
    torch.Size([1, 8, 3, 4])
    """

    bn: nn.BatchNorm2d | nn.Identity

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        style: Style,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: bool = True,
    ) -> None:
        super().__init__(stride, kernel // 2, groups, style.make_activation())
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.bn = nn.BatchNorm2d(out_channels) if norm else nn.Identity()

    def folded(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the equivalent weight and bias, see `Convolution.folded`.

        ``y = g (W x - m) / s + b`` equals ``(g/s) W x + (b - g m / s)`` with ``s = sqrt(var + eps)``. Zero padding
        stays exact, because W acts on the padded input in both forms.
        """
        weight = self.conv.weight.to(dtype or self.conv.weight.dtype)
        if isinstance(self.bn, nn.Identity):
            return weight, self.conv.bias
        scale = self._scale(dtype)
        mean = cast("Tensor", self.bn.running_mean).to(scale.dtype)
        if self.conv.bias is not None:
            mean = mean - self.conv.bias.to(scale.dtype)
        return weight * scale[:, None, None, None], self.bn.bias.to(scale.dtype) - mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, Ci, H, W]`` to ``[B, Co, ceil(H/stride), ceil(W/stride)]``."""
        if self.quantize_weight is not None:
            if isinstance(self.bn, nn.Identity) or not self.bn.training:
                return super().forward(x)
            # In training, BN normalizes by the batch. Quantize the weights as they will be folded, then divide them by
            # the same scale, because BN multiplies by it again (Jacob et al., CVPR 2018, section 3.2).
            scale = self._scale()
            # A channel with BN scale 0 would be divided by zero.
            scale = torch.where(scale.abs() < TINY, TINY, scale)[:, None, None, None]
            weight = self.quantize_weight(self.conv.weight * scale) / scale
            convolved = self.convolve(x, weight, self.conv.bias)
        else:
            convolved = self.conv(x)
        y: Tensor = self.act(self.bn(convolved))
        return y

    def _scale(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return the BN scale divided by the running standard deviation of each channel, ``[Co]``."""
        assert isinstance(self.bn, nn.BatchNorm2d)
        kind = dtype or self.bn.weight.dtype
        deviation = torch.sqrt(cast("Tensor", self.bn.running_var).to(kind) + self.bn.eps)
        return self.bn.weight.to(kind) / deviation


class Add(nn.Module):
    """Add tensors of one shape, as a module so that a quantizer can be attached to it.

    With ``inplace`` the first tensor is overwritten, so nothing else may use it, neither in the forward nor in the
    backward pass. Outputs of BN and of interpolation can be overwritten. The input of a block cannot.

    >>> Add(inplace=False)(torch.ones(2), torch.ones(2), torch.ones(2))
    tensor([3., 3.])
    """

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, total: Tensor, *others: Tensor) -> Tensor:
        """Return the sum of all arguments, which have one shape and dtype."""
        for number, other in enumerate(others):
            if hasattr(self, name := f"quantize_partial{number}"):
                total = self.get_submodule(name)(total)
            total = total.add_(other) if self.inplace else total + other
        return total

    def extra_repr(self) -> str:
        """Return the text shown when the network is printed."""
        return f"inplace={self.inplace}"


class LiteBlock(nn.Module):
    """Inverted residual with a linear bottleneck (Sandler et al., MobileNetV2, CVPR 2018).

    Computes ``x + project(depthwise(expand(x)))``. ``expand`` is a 1x1 convolution that multiplies the number of
    channels by ``expansion``, ``depthwise`` is a depthwise 3x3 convolution, and both end with the activation.
    ``project`` is a 1x1 convolution back to ``channels``, without an activation. The output has the shape of the input.
    """

    def __init__(self, channels: int, style: Style, expansion: int = 2) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = ConvBNAct(channels, hidden, 1, style)
        self.depthwise = ConvBNAct(hidden, hidden, 3, style, groups=hidden)
        self.project = ConvBNAct(hidden, channels, 1, style.linear)
        self.add = Add(style.inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape without changing ``x``."""
        y: Tensor = self.add(self.project(self.depthwise(self.expand(x))), x)
        return y


class Blur(Convolution):
    """Fixed binomial 3x3 low-pass filter, ``[1 2 1]/4`` in each direction (Zhang, ICML 2019).

    The output has the shape of the input. The filter has no parameters, and pads with zeros like every other
    convolution of the network. Engines run it as a depthwise convolution, so its MACs (multiply-accumulates) are
    counted as such: 9 per element.

    >>> Blur(1)(torch.ones(1, 1, 3, 3))[0, 0, 1]
    tensor([0.7500, 1.0000, 0.7500])
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(1, 1, channels, nn.Identity())
        row = torch.tensor([1.0, 2.0, 1.0]) / 4.0
        kernel = torch.outer(row, row).repeat(channels, 1, 1, 1)
        self.register_buffer("kernel", kernel, persistent=False)

    def folded(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias, see `Convolution.folded`."""
        return self.kernel.to(dtype or self.kernel.dtype), None


class Prediction(Convolution):
    """Last layer of a head: a 1x1 convolution with bias, without BN or activation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(1, 0, 1, nn.Identity())
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def folded(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias, see `Convolution.folded`."""
        kind = dtype or self.weight.dtype
        return self.weight.to(kind), self.bias.to(kind)


class Down(nn.Sequential):
    """Halve the resolution: ``[B, Ci, H, W]`` -> ``[B, Co, H/2, W/2]``.

    ``style.down`` chooses the first layers. A 1x1 convolution from Ci to Co channels follows, with BN and the
    activation of the style.

    - ``dw``: depthwise 3x3 convolution with stride 2, and BN
    - ``avgpool``: mean over 2x2 cells
    - ``blur``: `Blur`, then the same as ``dw``
    """

    def __init__(self, in_channels: int, out_channels: int, style: Style) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if style.down == "blur":
            layers["blur"] = Blur(in_channels)
        if style.down == "avgpool":
            layers["pool"] = nn.AvgPool2d(2)
        else:
            layers["depthwise"] = ConvBNAct(in_channels, in_channels, 3, style.linear, stride=2, groups=in_channels)
        layers["pointwise"] = ConvBNAct(in_channels, out_channels, 1, style)
        super().__init__(layers)


def down_chain(in_channels: int, out_channels: int, steps: int, style: Style) -> nn.Sequential:
    """Chain ``steps`` `Down` blocks, as HRNet does.

    All but the last keep the number of channels and end with the activation. The last has no activation.
    """
    inner = [Down(in_channels, in_channels, style) for _ in range(steps - 1)]
    return nn.Sequential(*inner, Down(in_channels, out_channels, style.linear))


def upsample(factor: int, mode: str = "bilinear") -> nn.Upsample:
    """Return an interpolation by ``factor``, ``nearest`` or ``bilinear`` with align_corners=False."""
    return nn.Upsample(scale_factor=factor, mode=mode, align_corners=None if mode == "nearest" else False)


class Up(nn.Sequential):
    """Upsample ``[B, Ci, H, W]`` to ``[B, Co, fH, fW]``: a 1x1 convolution with BN, then one interpolation by f.

    Interpolating first would give the same result at inference, because the weights of an interpolation sum to one.
    This order needs 1/f^2 of the MACs.
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int, style: Style, mode: str = "bilinear") -> None:
        pointwise = ConvBNAct(in_channels, out_channels, 1, style.linear)
        super().__init__(OrderedDict(pointwise=pointwise, resize=upsample(factor, mode)))


def smooth(channels: int, style: Style) -> ConvBNAct:
    """Return a 3x3 convolution with BN and activation, to smooth a sum of maps from several resolutions."""
    return ConvBNAct(channels, channels, 3, style)


def initialize_convolutions(net: nn.Module) -> None:
    """Initialize every convolution in ``net``: Kaiming normal with fan_out (He et al., ICCV 2015), biases zero.

    The fan is divided by the number of groups, because an input channel reaches the outputs of one group only.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            fan_out = module.out_channels * height * width // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
