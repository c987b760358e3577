"""The blocks the networks are built from: convolution + BN + activation, LiteBlock, Down, Up, Smooth.

Every convolution is followed by a BN (prediction layers and gates aside), so that every BN folds into a
convolution, and a fake-quantize has one place to sit: after the activation.
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
    """What a quantizer treats as one: a convolution, the BN after it and the activation after that.

    Attributes:
        quantize_weight: applied to the weights as they are once BN is folded into them; None in a float network.
        act: what follows, maybe the identity.
        stride, padding, groups: of the convolution.
    """

    quantize_weight: nn.Module | None
    act: nn.Module

    def __init__(self, stride: int, padding: int, groups: int, act: nn.Module) -> None:
        super().__init__()
        self.stride, self.padding, self.groups = stride, padding, groups
        self.act = act
        self.register_module("quantize_weight", None)

    def folded(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor | None]:
        """Weight ``[Co, Ci / groups, kh, kw]`` and bias ``[Co]`` of the one convolution that does the same.

        At inference, that is: with BN's running statistics. ``dtype`` is what it is computed in.
        """
        raise NotImplementedError

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``[B, Ci, H, W]`` -> ``[B, Co, ceil(H/stride), ceil(W/stride)]``, without the activation."""
        return F.conv2d(x, weight, bias, self.stride, self.padding, groups=self.groups)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, Ci, H, W]`` -> ``[B, Co, ceil(H/stride), ceil(W/stride)]``."""
        weight, bias = self.folded()
        if self.quantize_weight is not None:
            weight = self.quantize_weight(weight)
        y: Tensor = self.act(self.convolve(x, weight, bias))
        return y


class ConvBNAct(Convolution):
    """Convolution ('same' padding for odd kernels) -> BN (eps 1e-5) -> activation.

    ``[B, Ci, H, W]`` -> ``[B, Co, ceil(H/stride), ceil(W/stride)]``. The children are ``conv``, ``bn`` and ``act``,
    the identity where the style is linear. ``norm`` False: no BN, and ``bn`` is the identity. ``bias``: of the
    convolution, which BN makes superfluous; some published networks have it all the same.

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
        """See `Convolution.folded`.

        ``y = g (W x - m) / s + b`` is ``(g/s) W x + (b - g m / s)`` with ``s = sqrt(var + eps)``: the same function,
        and the zero padding stays exact, because W acts on the padded input in both.
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
        """``[B, Ci, H, W]`` -> ``[B, Co, ceil(H/stride), ceil(W/stride)]``."""
        if self.quantize_weight is not None:
            if isinstance(self.bn, nn.Identity) or not self.bn.training:
                return super().forward(x)
            # While BN follows the batch: the weights are rounded as they will be folded, and what folding did is
            # undone before BN does it again (Jacob et al., CVPR 2018, section 3.2).
            scale = self._scale()
            # A channel that BN switches off would be divided by zero.
            scale = torch.where(scale.abs() < TINY, TINY, scale)
            weight = self.quantize_weight(self.conv.weight * scale[:, None, None, None])
            convolved = self.convolve(x, weight, None) / scale[:, None, None]
            if self.conv.bias is not None:
                convolved = convolved + self.conv.bias[:, None, None]
        else:
            convolved = self.conv(x)
        y: Tensor = self.act(self.bn(convolved))
        return y

    def _scale(self, dtype: torch.dtype | None = None) -> Tensor:
        """BN's factor of each channel, ``[Co]``, from its running variance."""
        assert isinstance(self.bn, nn.BatchNorm2d)
        kind = dtype or self.bn.weight.dtype
        deviation = torch.sqrt(cast("Tensor", self.bn.running_var).to(kind) + self.bn.eps)
        return self.bn.weight.to(kind) / deviation


class Add(nn.Module):
    """Sum of tensors of one shape; a module, so that a quantizer can be attached to the sum.

    With ``inplace`` the first tensor is overwritten: it must be fresh (nobody else reads it, neither
    forward nor backward). Outputs of BN and of interpolation are; the input of a block is not.

    >>> Add(inplace=False)(torch.ones(2), torch.ones(2), torch.ones(2))
    tensor([3., 3.])
    """

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, fresh: Tensor, *others: Tensor) -> Tensor:
        """Sum of all arguments; all have one shape and dtype."""
        total = fresh
        for other in others:
            total = total.add_(other) if self.inplace else total + other
        return total

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"inplace={self.inplace}"


class LiteBlock(nn.Module):
    """Inverted residual with a linear bottleneck (Sandler et al., MobileNetV2, 2018), shape kept.

    ``x + Project(DW(Expand(x)))``: 1x1 C -> eC act, depthwise 3x3 act, 1x1 eC -> C linear.
    """

    def __init__(self, channels: int, style: Style, expansion: int = 2) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = ConvBNAct(channels, hidden, 1, style)
        self.depthwise = ConvBNAct(hidden, hidden, 3, style, groups=hidden)
        self.project = ConvBNAct(hidden, channels, 1, style.linear)
        self.add = Add(style.inplace)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> the same shape; ``x`` is left unchanged."""
        y: Tensor = self.add(self.project(self.depthwise(self.expand(x))), x)
        return y


class Blur(Convolution):
    """Fixed binomial low-pass 3x3, ``[1 2 1]/4`` in each direction (Zhang, ICML 2019); shape kept.

    No parameters. Zero padding, as in every other convolution of the net. It runs as a depthwise
    convolution in every engine, and is counted as one: 9 MACs per element.

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
        """See `Convolution.folded`."""
        return self.kernel.to(dtype or self.kernel.dtype), None


class Prediction(Convolution):
    """1x1 convolution with bias and nothing after it, the last layer of a head."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(1, 0, 1, nn.Identity())
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def folded(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor | None]:
        """See `Convolution.folded`."""
        kind = dtype or self.weight.dtype
        return self.weight.to(kind), self.bias.to(kind)


class Down(nn.Sequential):
    """Half the resolution, ``[B, Ci, H, W]`` -> ``[B, Co, H/2, W/2]``, in one of three kinds.

    ``dw``: depthwise 3x3 stride 2 + BN; ``avgpool``: 2x2 mean; ``blur``: `Blur`, then as ``dw``. Each
    is followed by a 1x1 Ci -> Co + BN, with the activation of the style.
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
    """``steps`` halvings (HRNet convention): all but the last keep the channels and have the activation.

    The last one maps to ``out_channels`` and is linear.
    """
    inner = [Down(in_channels, in_channels, style) for _ in range(steps - 1)]
    return nn.Sequential(*inner, Down(in_channels, out_channels, style.linear))


def upsample(factor: int, mode: str = "bilinear") -> nn.Upsample:
    """One interpolation by ``factor``: ``nearest``, or ``bilinear`` with half-pixel centers (align_corners=False)."""
    return nn.Upsample(scale_factor=factor, mode=mode, align_corners=None if mode == "nearest" else False)


class Up(nn.Sequential):
    """``[B, Ci, H, W]`` -> ``[B, Co, fH, fW]``: 1x1 + BN, then one interpolation by f, see `upsample`.

    The weights of an interpolation sum to one, so at inference both orders give the same result; this one costs
    1/f^2 of the MACs.
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int, style: Style, mode: str = "bilinear") -> None:
        pointwise = ConvBNAct(in_channels, out_channels, 1, style.linear)
        super().__init__(OrderedDict(pointwise=pointwise, resize=upsample(factor, mode)))


def smooth(channels: int, style: Style) -> ConvBNAct:
    """3x3 C -> C + BN + activation, after a sum of maps from several resolutions; shape kept."""
    return ConvBNAct(channels, channels, 3, style)


def initialize_convolutions(net: nn.Module) -> None:
    """Kaiming normal, fan_out, in every convolution below ``net`` (He et al., 2015); biases zero.

    A depthwise output reaches one channel, not all: the fan is divided by the groups.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            fan_out = module.out_channels * height * width // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
