"""The sites of quantizers, checked on graphs that are recorded independently of the trace that chose them."""

import itertools
from dataclasses import dataclass, field

import onnx
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edgehrnet.errors import InputError
from edgehrnet.models import Output, create
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.frozen import QuantizeDequantize, attach, freeze
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.blocks import Add, ConvBNAct, Convolution, Down, LiteBlock, Up, initialize_convolutions
from edgehrnet.models.layers.fusion import Concatenate
from edgehrnet.models.layers.heads import Heads
from edgehrnet.models.layers.style import Style
from edgehrnet.spec import ModelSpec
from quant.files.onnx_file import write_onnx
from quant.int8.placement import place, trace
from quant.int8.scheme import SCHEMES

STYLE = Style()
OPENVINO = SCHEMES["openvino"]
ALL = OPENVINO.replace(adds="all")
ROUND = "fake_quantize_per_tensor_affine_cachemask"
ACTIVATIONS = {"silu", "silu_", "hardswish", "hardswish_"}
ADDS = {"add", "add_"}


@dataclass
class Operation:
    """One operator call: its name, what it read (numbers of operations), whether a convolution's weights are int8."""

    name: str
    reads: list[int]
    kind: torch.dtype | None = None
    integer: bool = False
    readers: list[int] = field(default_factory=list)


class Recorder(TorchDispatchMode):
    """Record every operator of a forward pass as torch dispatches it, without modules."""

    def __init__(self):
        super().__init__()
        self.operations = []
        self._made_by = {}
        self._alive = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        reads = [self.number(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        operation = Operation(function.__name__.partition(".")[0], reads)
        if operation.name == "convolution":
            weight = self.operations[reads[1]]
            scaled = weight.name == "mul" and torch.int8 in (self.operations[read].kind for read in weight.reads)
            operation = Operation("convolution", reads[:1], integer=scaled)
        number = self._record(operation)
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                operation.kind = operation.kind or tensor.dtype
                self._remember(tensor, number)
        return result

    def number(self, tensor):
        """Return the number of the operation that made a tensor. Inputs, parameters and buffers get operations too."""
        if id(tensor) not in self._made_by:
            self._remember(tensor, self._record(Operation("given", [], tensor.dtype)))
        return self._made_by[id(tensor)]

    def _record(self, operation):
        self.operations.append(operation)
        for read in operation.reads:
            self.operations[read].readers.append(len(self.operations) - 1)
        return len(self.operations) - 1

    def _remember(self, tensor, number):
        self._made_by[id(tensor)] = number
        self._alive.append(tensor)  # an id is unique only while its tensor exists


@dataclass
class Graph:
    operations: list[Operation]
    outputs: list[int]

    def of(self, *names):
        return [operation for operation in self.operations if operation.name in names]

    def sources(self, operation):
        return [self.operations[read].name for read in operation.reads]

    def readers(self, operation):
        return [self.operations[reader] for reader in operation.readers]

    @property
    def sums(self):
        """Sums of two tensors. Folding BN also adds numbers to tensors."""
        return [operation for operation in self.of("add", "add_") if len(operation.reads) == 2]

    @property
    def integer(self):
        return [operation for operation in self.of("convolution") if operation.integer]


class Stored(nn.Module):
    """Replacement for stored int8 weights."""

    def forward(self, weight):
        return weight.to(torch.int8) * torch.ones(1)


def record(network, placement, scheme):
    """Insert quantizers into the network and record a forward pass. Ranges do not matter."""
    for name in placement.convolutions:
        network.get_submodule(name).quantize_weight = Stored()
    for site in placement.sites:
        attach(network, site, QuantizeDequantize(0.05, 0, scheme.activations))
    with torch.no_grad(), Recorder() as recorder:
        outputs = network.eval()(torch.zeros((1, 4, 64, 64)))
        left = [recorder.number(leaf) for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]
    return Graph(recorder.operations, left)


def check(graph, placement, scheme=OPENVINO):
    """Check the rules for every network."""
    rounds = graph.of(ROUND)
    assert len(rounds) == len(placement.sites)
    assert len(graph.integer) == len(placement.convolutions)
    # What an integer convolution reads was rounded, and no tensor is rounded twice: one quantizer serves all.
    assert {source for convolution in graph.integer for source in graph.sources(convolution)} == {ROUND}
    rounded = [operation.reads[0] for operation in rounds]
    assert len(set(rounded)) == len(rounded)
    for operation in rounds:
        readers = graph.readers(operation)
        assert graph.sources(operation) != [ROUND]
        # Never between a convolution and its own activation.
        assert not any(reader.name in ACTIVATIONS for reader in readers)
        assert any(reader.integer for reader in readers) or (
            scheme.adds == "all" and any(reader.name in ADDS for reader in readers)
        )
        if graph.sources(operation)[0] == "convolution":
            # Its only reader, so that there is nothing to fuse but the quantizer.
            assert len(graph.operations[operation.reads[0]].readers) == 1
    # No output of the network is rounded on its way out.
    assert all(graph.operations[number].name != ROUND for number in graph.outputs)
    if scheme.float_heads:
        heads = [operation for operation in graph.of("convolution") if not operation.integer]
        assert not any(ROUND in graph.sources(operation) for operation in heads)


FLAGS = ("hidden_heads", "boundary", "sdf", "pyramid", "auxiliary")
CHOICES = list(itertools.product(("add", "weighted"), ("none", "se", "coord"), "AB", ("dw", "avgpool", "blur")))


def combinations():
    """Yield every choice of fuse, gate, fpn and down, each flag in half of them, two depths and two activations."""
    for index, (fuse, gate, fpn, down) in enumerate(CHOICES):
        flags = {flag: bool((index * 5 >> place) & 1) for place, flag in enumerate(FLAGS)}
        modules = ((1, 1, 1), (1, 2, 2))[index % 4 == 1]
        activation = ("silu", "hardswish")[index // 2 % 2]
        yield {"fuse": fuse, "gate": gate, "fpn": fpn, "down": down, "modules": modules, "activation": activation,
               **flags}  # fmt: skip


def label(options):
    return "-".join([str(options["fuse"]), options["gate"], options["fpn"], options["down"]])


def own_convolutions(network):
    return [name for name, module in network.named_modules() if isinstance(module, Convolution)]


def outside_heads(network):
    return {name for name in own_convolutions(network) if not name.startswith(("heads.", "auxiliary."))}


def test_default_network_has_the_documented_sites():
    network = create("edgehrnet18", keypoints=4)
    placement = place(network, OPENVINO)
    assert (len(placement.sites), len(placement.convolutions)) == (112, 126)
    assert placement.inputs == {"stem.conv1.input"}
    assert len(set(placement.convolutions)) == 126
    assert set(own_convolutions(network)) - set(placement.convolutions) == {
        "heads.heatmaps.predict",
        "heads.offsets.predict",
    }
    graph = record(network, placement, OPENVINO)
    check(graph, placement)
    # Only the identity side of a residual is quantized.
    for add in graph.sums:
        assert graph.sources(add).count(ROUND) <= 1


def test_combinations_cover_both_values_of_every_option():
    seen = list(combinations())
    for name in (*FLAGS, "modules", "activation"):
        for fuse in ("add", "weighted"):
            assert len({options[name] for options in seen if options["fuse"] == fuse}) == 2


@pytest.mark.parametrize("options", list(combinations()), ids=label)
def test_rules_hold_for_every_combination_of_options(options):
    network = create("edgehrnet18", keypoints=4, **options)
    placement = place(network, OPENVINO)
    graph = record(network, placement, OPENVINO)
    check(graph, placement)
    # Every Convolution outside the heads runs on integers. Those inside a gate may be plain nn.Conv2d.
    assert set(placement.convolutions) == outside_heads(network)
    names = set(dict(network.named_modules()))
    float_ones = {name for name, module in network.named_modules() if type(module) is nn.Conv2d}
    float_ones -= {f"{name}.conv" for name in names}  # those inside a Convolution
    expected = len(float_ones) + len(set(own_convolutions(network)) - outside_heads(network))
    assert len(graph.of("convolution")) - len(graph.integer) == expected


@pytest.mark.parametrize("options", list(combinations())[::7], ids=label)
def test_scheme_all_quantizes_every_summand(options):
    network = create("edgehrnet18", keypoints=4, **options)
    identity, every = place(network, OPENVINO), place(network, ALL)
    assert every.sites.items() > identity.sites.items()
    assert every.convolutions == identity.convolutions
    graph = record(network, every, ALL)
    check(graph, every, ALL)
    for add in graph.sums:
        first, *others = graph.sources(add)
        # A partial sum of the same Add is not quantized, and neither are weighted terms, which no module returns.
        assert first in {ROUND, "add", "add_", "mul"}
        assert set(others) <= {ROUND, "mul"}


def test_network_outputs_stay_float():
    network = create("edgehrnet18", keypoints=4, pyramid=True)
    placement = place(network, OPENVINO)
    # p5 is an output that a convolution reads. It is rounded for that convolution only.
    assert "fpn.lateral5" not in placement.sites
    assert placement.sites["fpn.smooth5.input"] == ("fpn.smooth5",)
    assert not {"fpn.smooth2", "fpn.smooth3", "fpn.smooth4"} & set(placement.sites)  # hf, p3_td, p4_td
    graph = record(network, placement, OPENVINO)
    check(graph, placement)
    assert len(graph.outputs) == 6
    assert "fpn.lateral5" in place(create("edgehrnet18", keypoints=4), OPENVINO).sites


def test_quantized_heads_quantize_hf_at_their_input():
    network = create("edgehrnet18", keypoints=4, hidden_heads=True)
    scheme = OPENVINO.replace(float_heads=False)
    placement = place(network, scheme)
    assert set(placement.convolutions) == set(own_convolutions(network))
    # The output hf is not rounded.
    assert "fpn.smooth2" not in placement.sites
    assert placement.sites["heads.heatmaps.hidden.input"] == ("heads.heatmaps.hidden",)
    assert placement.sites["heads.offsets.hidden"] == ("heads.offsets.predict",)
    graph = record(network, placement, scheme)
    assert not any(not operation.integer for operation in graph.of("convolution"))
    assert {source for convolution in graph.integer for source in graph.sources(convolution)} == {ROUND}
    assert all(graph.operations[number].name != ROUND for number in graph.outputs)


def test_keep_float_also_keeps_the_readers_in_float():
    network = create("edgehrnet18", keypoints=4)
    full = place(network, OPENVINO)
    shared = max(full.sites, key=lambda site: len(full.sites[site]))
    assert len(full.sites[shared]) > 1
    placement = place(network, OPENVINO, [shared, "stem.conv1.input"])
    assert set(full.sites) - set(placement.sites) == {shared, "stem.conv1.input"}
    assert set(full.convolutions) - set(placement.convolutions) == {*full.sites[shared], "stem.conv1"}
    assert placement.inputs == frozenset()
    check(record(network, placement, OPENVINO), placement)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stem.conv2x", r"'stem\.conv2x'.*'stem\.conv2'"),
        ("heads.offsets.predict", r"'heads\.offsets\.predict'"),
        ("", "''"),
    ],
)
def test_keep_float_refuses_names_without_a_quantizer(name, value):
    with pytest.raises(InputError, match=value):
        place(create("edgehrnet18", keypoints=4), OPENVINO, [name])


def test_tracing_leaves_the_network_unchanged():
    network = create("edgehrnet18", keypoints=4).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = place(network, OPENVINO)
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert place(network, OPENVINO) == first


# --- small networks, with sites that are listed by hand


def conv(channels=8, *, act=True, into=None):
    return ConvBNAct(into or channels, channels, 3, STYLE if act else STYLE.linear)


class Net(KeypointNetwork):
    def __init__(self):
        super().__init__(2, 4, gives_offsets=False)
        self.first = conv(into=4)


class Chain(Net):
    def __init__(self):
        super().__init__()
        self.second = conv(act=False)
        self.third = conv()

    def forward(self, x):
        return self.third(self.second(self.first(x)))


class Residual(Net):
    def __init__(self):
        super().__init__()
        self.block = LiteBlock(8, STYLE)
        self.last = conv()

    def forward(self, x):
        return self.last(self.block(self.first(x)))


class UpAdd(Net):
    def __init__(self):
        super().__init__()
        self.down = Down(8, 8, STYLE)
        self.up = Up(8, 8, 2, STYLE)
        self.add = Add(inplace=True)
        self.last = conv()

    def forward(self, x):
        x = self.first(x)
        return self.last(self.add(self.up(self.down(x)), x))


class Concat(Net):
    def __init__(self):
        super().__init__()
        self.left, self.right = conv(), conv()
        self.concat = Concatenate()
        self.last = conv(into=16)

    def forward(self, x):
        x = self.first(x)
        return self.last(self.concat(self.left(x), self.right(x)))


class Shared(Net):
    """One tensor for two convolutions and an interpolation; another for an interpolation alone."""

    def __init__(self):
        super().__init__()
        self.left, self.right = conv(), conv()
        self.up, self.up_left = nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2)

    def forward(self, x):
        x = self.first(x)
        return self.right(x), self.up(x), self.up_left(self.left(x))


class Headed(Net):
    def __init__(self):
        super().__init__()
        self.second = conv()
        self.heads = Heads(8, 2, STYLE, hidden=True, boundary=False, sdf=False)

    def forward(self, x):
        hf = self.second(self.first(x))
        maps = self.heads(hf)
        return Output(hf, maps["heatmaps"], maps["offsets"], {})


class TwoInputs(KeypointNetwork):
    """Both convolutions read the picture."""

    def __init__(self):
        super().__init__(2, 4, gives_offsets=False)
        self.left, self.right = conv(into=4), conv(into=4)
        self.add = Add(inplace=False)

    def forward(self, x):
        return self.add(self.left(x), self.right(x))


class Bare(Net):
    """A convolution that reads the result of a function."""

    def __init__(self):
        super().__init__()
        self.second = conv()

    def forward(self, x):
        return self.second(self.first(x) * 2)


INPUT = {"first.input": ("first",)}
SMALL = [
    (Chain, INPUT | {"first": ("second",), "second": ("third",)}, set()),
    (
        Residual,
        INPUT
        | {
            "first": ("block.expand",),
            "block.expand": ("block.depthwise",),
            "block.depthwise": ("block.project",),
            "block.add": ("last",),
        },
        {"block.project"},
    ),
    (
        UpAdd,
        INPUT
        | {
            "first": ("down.depthwise",),
            "down.depthwise": ("down.pointwise",),
            "down.pointwise": ("up.pointwise",),
            "add": ("last",),
        },
        {"up.resize"},
    ),
    (Concat, INPUT | {"first": ("left", "right"), "concat": ("last",)}, set()),
    (Shared, INPUT | {"first": ("right", "left")}, set()),
    (Headed, INPUT | {"first": ("second",)}, set()),
    (TwoInputs, {"left.input": ("left",), "right.input": ("right",)}, {"left", "right"}),
    (Bare, INPUT | {"second.input": ("second",)}, set()),
]


@pytest.mark.parametrize(("kind", "sites", "summands"), SMALL, ids=lambda value: getattr(value, "__name__", ""))
def test_small_networks_have_the_expected_sites(kind, sites, summands):
    network = kind()
    initialize_convolutions(network)
    placement = place(network, OPENVINO)
    assert placement.sites == sites
    assert placement.inputs == {site for site in sites if site.endswith(".input") and site != "second.input"}
    every = place(network, ALL)
    assert set(every.sites) == set(sites) | summands
    assert all(every.sites[site] == () for site in summands)
    if kind is not TwoInputs:  # which has a quantizer for each of the two, with the same range
        check(record(network, placement, OPENVINO), placement)
        network = kind()
        check(record(network, every, ALL), every, ALL)


ONNX = SCHEMES["onnx"]
RESULTS = {"first.act.input", "block.expand.act.input", "block.depthwise.act.input", "last.act.input"}


def test_onnx_runtime_gets_a_quantizer_behind_every_convolution():
    network = Residual()
    placement = place(network, ONNX)
    assert set(placement.sites) == set(place(network, ALL).sites) | RESULTS
    assert placement.convolutions == place(network, ALL).convolutions
    assert placement.sites["block.project"] == ("block.project",)  # no activation
    graph = record(network, placement, ONNX)
    assert all([reader.name for reader in graph.readers(each)] == [ROUND] for each in graph.integer)
    assert all(graph.sources(add) == [ROUND, ROUND] for add in graph.sums)


def test_a_convolution_stays_float_if_its_result_does():
    placement = place(Residual(), ONNX, ["block.expand.act.input"])
    assert set(place(Residual(), ONNX).convolutions) - set(placement.convolutions) == {"block.expand"}


def test_onnx_runtime_gets_a_quantizer_behind_partial_sums():
    class Three(UpAdd):
        def forward(self, x):
            x = self.first(x)
            return self.last(self.add(self.up(self.down(x)), x, x))

    placement = place(Three(), ONNX)
    assert "add:partial1" in placement.sites
    network = Three()
    graph = record(network, placement, ONNX)
    assert [graph.sources(add) for add in graph.sums] == [[ROUND, ROUND], [ROUND, ROUND]]


def test_a_module_that_is_called_twice_is_refused():
    class Twice(Net):
        def forward(self, x):
            return self.again(self.again(self.first(x)))

        def __init__(self):
            super().__init__()
            self.again = conv()

    with pytest.raises(InputError, match="again"):
        place(Twice(), OPENVINO)


def test_flows_name_producers_and_readers():
    first, *flows = trace(UpAdd())
    assert (first.producer, first.convolutions, first.output) == (None, ["first"], False)
    by_name = {flow.producer: flow for flow in flows}
    assert by_name["first"].convolutions == ["down.depthwise"]
    assert by_name["first"].adds == ["add"]
    assert by_name["up.pointwise"].convolutions == []
    assert [name for name, flow in by_name.items() if flow.output] == ["last"]


# --- the exported graph


EVERYTHING = {
    "fuse": "weighted",
    "gate": "coord",
    "fpn": "B",
    "activation": "hardswish",
    **dict.fromkeys(FLAGS, True),
}


@pytest.mark.parametrize(("options", "scheme"), [({"gate": "se"}, ALL), (EVERYTHING, OPENVINO)])
def test_rules_hold_in_the_exported_graph(options, scheme, tmp_path):
    network = create("edgehrnet18", keypoints=4, **options).eval()
    placement = place(network, scheme)
    # A different scale for each site, so that the exporter does not merge two quantizers of one tensor.
    sites = {site: (0.01 + 1e-4 * index, 0) for index, site in enumerate(placement.sites)}
    table = RangeTable("openvino", "uint8", 8, scheme.adds, sites, placement.convolutions)
    names = ["heatmaps", "offsets", "hf"]
    extras = ["boundary", "sdf", "p3_td", "p4_td", "p5", "aux_p3", "aux_p4"] if "fuse" in options else []
    outputs = tuple((name, "NHWC" if name == "hf" else "NCHW") for name in names + extras)
    spec = ModelSpec("corners", ("a", "b", "c", "d"), input_size=(64, 64), outputs=outputs)
    write_onnx(freeze(network, table), spec, tmp_path / "network.onnx")
    graph = onnx.load(tmp_path / "network.onnx").graph
    made_by = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}

    def source(name):
        return made_by[name].op_type if name in made_by else "given"

    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    integer = [node for node in convolutions if source(node.input[1]) == "DequantizeLinear"]
    assert len(integer) == len(placement.convolutions)
    assert {source(node.input[0]) for node in integer} == {"DequantizeLinear"}
    assert "DequantizeLinear" not in {source(node.input[0]) for node in convolutions if node not in integer}
    for node in integer:
        assert stored[made_by[node.input[1]].input[0]] == onnx.TensorProto.INT8
    rounds = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(rounds) == len(placement.sites)
    assert len({node.input[0] for node in rounds}) == len(rounds)
    for node in rounds:
        (dequantize,) = readers[node.output[0]]
        assert dequantize.op_type == "DequantizeLinear"
        after = {reader.op_type for reader in readers[dequantize.output[0]]}
        assert not after & {"Sigmoid", "HardSwish", "HardSigmoid"}
        assert "Conv" in after or (scheme.adds == "all" and "Add" in after)
        if source(node.input[0]) == "Conv":
            assert len(readers[node.input[0]]) == 1
    for output in graph.output:
        assert source(output.name) not in {"DequantizeLinear", "QuantizeLinear"}
    assert not any(node.op_type == "Clip" for node in graph.node)
