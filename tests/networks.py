"""Small random INT8 networks in the shapes of MLPerf Tiny's four, as TFLite files."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from onwrist.export.graphs.tflite_graph import Graph, _Builder

INT8, INT32, RESOURCE = schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.RESOURCE
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
NONE, RELU, RELU6 = (getattr(schema.ActivationFunctionType, n) for n in ("NONE", "RELU", "RELU6"))
OPERATOR, OPTIONS = schema.BuiltinOperator, schema.BuiltinOptions


class Net:
    """A network in the making; every layer's output is its next layer's input."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0):
        self.graph, self.rng = Graph(), np.random.default_rng(seed)
        self.shapes, self.scales = {}, {}
        self.at = self.tensor((1, *shape), np.float32(0.047), int(self.rng.integers(-20, 20)))
        self.input = self.at

    def tensor(self, shape, scale, zero) -> int:
        i = self.graph.tensor(f"t{len(self.graph.tensors)}", shape, INT8, scale, zero)
        self.shapes[i], self.scales[i] = tuple(shape), (np.float32(scale), zero)
        return i

    def _append(self, operator, version, inputs, shape, options, kind, scale=None, zero=None) -> "Net":
        scale = self.scales[inputs[0]][0] if scale is None else scale
        zero = self.scales[inputs[0]][1] if zero is None else zero
        output = self.tensor(shape, scale, zero)
        self.at = self.graph.append(self.graph.code(operator, version), inputs, output, options, kind)
        return self

    def _weights(self, shape, outputs, fan_in, dimension, per_channel=True):
        """Weights, bias, and an output scale at which sums use the int8 range."""
        scale = self.scales[self.at][0]
        count = outputs if per_channel else 1
        w_scale = self.rng.uniform(0.5, 1.5, count).astype(np.float32) / np.float32(64 * fan_in**0.5)
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        weight = self.graph.tensor(f"w{len(self.graph.tensors)}", shape, INT8, w_scale, 0, dimension, values)
        bias = self.rng.integers(-3000, 3000, outputs).astype(np.int32)
        b = self.graph.tensor(f"b{len(self.graph.tensors)}", (outputs,), INT32, scale * w_scale, 0, 0, bias)
        return weight, b, np.float32(scale * self.rng.uniform(0.8, 2.0)), int(self.rng.integers(-60, 60))

    @staticmethod
    def _size(n, k, stride, padding, dilation=1):
        reach = dilation * (k - 1) + 1
        return -(-n // stride) if padding == SAME else (n - reach) // stride + 1

    def conv(self, outputs, k=(3, 3), stride=(1, 1), padding=SAME, activation=RELU, dilation=(1, 1)) -> "Net":
        _, h, w, c = self.shapes[self.at]
        weight, bias, scale, zero = self._weights((outputs, *k, c), outputs, k[0] * k[1] * c, 0)
        options = schema.Conv2DOptionsT()
        shape = self._spatial(options, k, stride, padding, activation, dilation, (h, w), outputs)
        return self._append(
            OPERATOR.CONV_2D, 3, [self.at, weight, bias], shape, options, OPTIONS.Conv2DOptions, scale, zero
        )

    def depthwise(self, k=(3, 3), stride=(1, 1), padding=SAME, activation=RELU, multiplier=1, dilation=(1, 1)) -> "Net":
        _, h, w, c = self.shapes[self.at]
        weight, bias, scale, zero = self._weights((1, *k, c * multiplier), c * multiplier, k[0] * k[1], 3)
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = multiplier
        shape = self._spatial(options, k, stride, padding, activation, dilation, (h, w), c * multiplier)
        kind = OPTIONS.DepthwiseConv2DOptions
        return self._append(OPERATOR.DEPTHWISE_CONV_2D, 3, [self.at, weight, bias], shape, options, kind, scale, zero)

    def _spatial(self, options, k, stride, padding, activation, dilation, size, outputs):
        options.padding, options.fusedActivationFunction = padding, activation
        options.strideH, options.strideW = stride
        options.dilationHFactor, options.dilationWFactor = dilation
        h, w = (self._size(*v, padding, d) for *v, d in zip(size, k, stride, dilation, strict=True))
        return 1, h, w, outputs

    def pool(self, k, stride=None, padding=VALID) -> "Net":
        _, h, w, c = self.shapes[self.at]
        options = schema.Pool2DOptionsT()
        stride = stride or k
        options.padding, (options.filterHeight, options.filterWidth) = padding, k
        options.strideH, options.strideW = stride
        shape = (1, self._size(h, k[0], stride[0], padding), self._size(w, k[1], stride[1], padding), c)
        return self._append(OPERATOR.AVERAGE_POOL_2D, 2, [self.at], shape, options, OPTIONS.Pool2DOptions)

    def mean(self) -> "Net":
        c = self.shapes[self.at][-1]
        options = schema.ReducerOptionsT()
        scale, inputs = np.float32(0.6 * self.scales[self.at][0]), [self.at, self.graph.index([1, 2])]
        return self._append(OPERATOR.MEAN, 2, inputs, (1, c), options, OPTIONS.ReducerOptions, scale, -11)

    def add(self, other: int, activation=RELU) -> "Net":
        options = schema.AddOptionsT()
        options.fusedActivationFunction = activation
        scale = np.float32(1.3 * max(self.scales[self.at][0], self.scales[other][0]))
        kind = OPTIONS.AddOptions
        return self._append(OPERATOR.ADD, 2, [self.at, other], self.shapes[self.at], options, kind, scale, 7)

    def flat(self) -> "Net":
        shape = (1, int(np.prod(self.shapes[self.at])))
        options = schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        return self._append(
            OPERATOR.RESHAPE, 1, [self.at, self.graph.index(list(shape))], shape, options, OPTIONS.ReshapeOptions
        )

    def dense(self, outputs, activation=NONE) -> "Net":
        inputs = self.shapes[self.at][-1]
        weight, bias, scale, zero = self._weights((outputs, inputs), outputs, inputs, 0, per_channel=False)
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = activation
        kind = OPTIONS.FullyConnectedOptions
        return self._append(
            OPERATOR.FULLY_CONNECTED, 4, [self.at, weight, bias], (1, outputs), options, kind, scale, zero
        )

    def dense_rows(self, outputs, shape) -> "Net":
        """A dense layer on each row, as Keras writes it on a sequence, dimensions kept."""
        inputs = self.shapes[self.at][-1]
        weight, bias, scale, zero = self._weights((outputs, inputs), outputs, inputs, 0, per_channel=False)
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims, options.fusedActivationFunction = True, NONE
        kind = OPTIONS.FullyConnectedOptions
        return self._append(OPERATOR.FULLY_CONNECTED, 5, [self.at, weight, bias], shape, options, kind, scale, zero)

    def reshape(self, shape) -> "Net":
        options = schema.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        inputs = [self.at, self.graph.index(list(shape))]
        return self._append(OPERATOR.RESHAPE, 1, inputs, shape, options, OPTIONS.ReshapeOptions)

    def grouped(self, outputs, groups, k=(1, 3)) -> "Net":
        """A convolution of groups: the file says so by the shape of the weights alone."""
        _, h, w, c = self.shapes[self.at]
        weight, bias, scale, zero = self._weights((outputs, *k, c // groups), outputs, k[0] * k[1] * c // groups, 0)
        options = schema.Conv2DOptionsT()
        shape = self._spatial(options, k, (1, 1), SAME, RELU, (1, 1), (h, w), outputs)
        inputs = [self.at, weight, bias]
        return self._append(OPERATOR.CONV_2D, 3, inputs, shape, options, OPTIONS.Conv2DOptions, scale, zero)

    def beside_constant(self, channels) -> "Net":
        """Channels that never change beside those that are there."""
        shape, (scale, zero) = self.shapes[self.at], self.scales[self.at]
        fixed = (*shape[:-1], channels)
        values = self.rng.integers(-128, 128, fixed).astype(np.int8)
        other = self.graph.tensor("fixed", fixed, INT8, scale, zero, 0, values)
        options = schema.ConcatenationOptionsT()
        options.axis, options.fusedActivationFunction = len(shape) - 1, NONE
        whole = (*shape[:-1], shape[-1] + channels)
        return self._append(OPERATOR.CONCATENATION, 2, [self.at, other], whole, options, OPTIONS.ConcatenationOptions)

    def one_input(self, name, options=None, scale=None, zero=None, shape=None, more=()) -> "Net":
        """An operator that takes what is there, and perhaps constant tables."""
        kind = getattr(OPTIONS, f"{options}", 0) if options else 0
        table = getattr(schema, f"{options}T")() if options else None
        shape = shape or self.shapes[self.at]
        return self._append(
            getattr(OPERATOR, name),
            2 if name in ("PAD", "SLICE", "STRIDED_SLICE") else 1,
            [self.at, *more],
            shape,
            table,
            kind,
            scale,
            zero,
        )

    def two_inputs(self, name, other: int) -> "Net":
        """MINIMUM or MAXIMUM of what is there and another."""
        table, kind = schema.MaximumMinimumOptionsT(), OPTIONS.MaximumMinimumOptions
        return self._append(getattr(OPERATOR, name), 2, [self.at, other], self.shapes[self.at], table, kind)

    def constant(self, values) -> int:
        """int8 in the scale of what is there."""
        values = np.array(values, np.int8)
        scale, zero = self.scales[self.at]
        return self.graph.tensor(f"c{len(self.graph.tensors)}", values.shape, INT8, scale, zero, 0, values)

    def strided(self, shape, begin, end, steps, **masks) -> "Net":
        more = [self.table(values) for values in (begin, end, steps)]
        self.one_input("STRIDED_SLICE", "StridedSliceOptions", shape=shape, more=more)
        for field, value in masks.items():
            setattr(self.graph.operators[-1].builtinOptions, field, value)
        return self

    def handle(self, name) -> int:
        """Of a resource variable."""
        options = schema.VarHandleOptionsT()
        options.container, options.sharedName = b"", name.encode()
        at = self.graph.tensor(f"{name}/handle", (), RESOURCE, np.float32(1), 0)
        return self.graph.append(self.graph.code(OPERATOR.VAR_HANDLE, 1), [], at, options, OPTIONS.VarHandleOptions)

    def read(self, handle, shape) -> "Net":
        """A variable, in the scale of what is there."""
        options = schema.ReadVariableOptionsT()
        scale, zero = self.scales[self.at]
        kind = OPTIONS.ReadVariableOptions
        return self._append(OPERATOR.READ_VARIABLE, 1, [handle], shape, options, kind, scale, zero)

    def assign(self, handle) -> "Net":
        """What is there, to a variable."""
        code = self.graph.code(OPERATOR.ASSIGN_VARIABLE, 1)
        self.graph.append(code, [handle, self.at], 0, schema.AssignVariableOptionsT(), OPTIONS.AssignVariableOptions)
        self.graph.operators[-1].outputs = np.zeros(0, np.int32)
        return self

    def join(self, *tensors) -> "Net":
        """Along the width."""
        shapes = [self.shapes[t] for t in tensors]
        options = schema.ConcatenationOptionsT()
        options.axis, options.fusedActivationFunction = 2, NONE
        whole = (*shapes[0][:2], sum(s[2] for s in shapes), shapes[0][3])
        return self._append(OPERATOR.CONCATENATION, 2, list(tensors), whole, options, OPTIONS.ConcatenationOptions)

    def bytes_once(self, starts: dict) -> bytes:
        """With a second graph, called once, that assigns the first values: name of a variable -> int8."""
        once, graph = Graph(), self.graph
        # The second graph's constants are in the file's buffers.
        once.buffers, once.codes = graph.buffers, graph.codes
        net = Net.__new__(Net)
        net.graph, net.rng, net.shapes, net.scales = once, self.rng, {}, {}
        for name, values in starts.items():
            net.at, net.scales[-1] = -1, self.scales[self.input]
            handle, net.at = net.handle(name), net.constant(values)
            net.assign(handle)
        options = schema.CallOnceOptionsT()
        options.initSubgraphIndex = 1
        graph.append(graph.code(OPERATOR.CALL_ONCE, 1), [], 0, options, OPTIONS.CallOnceOptions)
        graph.operators[-1].outputs = np.zeros(0, np.int32)
        graph.operators.insert(0, graph.operators.pop())
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(self.bytes(), 0))
        second = schema.SubGraphT()
        second.name, second.tensors, second.operators = b"once", once.tensors, once.operators
        second.inputs = second.outputs = np.zeros(0, np.int32)
        model.subgraphs.append(second)
        builder = _Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def max_pool(self, k, stride, padding=SAME) -> "Net":
        at = len(self.graph.operators)
        self.pool(k, stride, padding)
        self.graph.operators[at].opcodeIndex = self.graph.code(OPERATOR.MAX_POOL_2D, 2)
        return self

    def table(self, values) -> int:
        """Constant int32, of any shape."""
        values = np.array(values, np.int32)
        return self.graph.tensor(f"c{len(self.graph.tensors)}", values.shape, INT32, np.float32(1), 0, 0, values)

    def mul(self, other: int) -> "Net":
        options = schema.MulOptionsT()
        options.fusedActivationFunction = NONE
        scale = np.float32(40 * self.scales[self.at][0] * self.scales[other][0])
        kind = OPTIONS.MulOptions
        return self._append(OPERATOR.MUL, 2, [self.at, other], self.shapes[self.at], options, kind, scale, -5)

    def softmax(self) -> "Net":
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        shape, kind = self.shapes[self.at], OPTIONS.SoftmaxOptions
        return self._append(OPERATOR.SOFTMAX, 2, [self.at], shape, options, kind, np.float32(1 / 256), -128)

    def bytes(self) -> bytes:
        return self.graph.pack("net", [self.input], [self.at])


def keyword(seed=0) -> bytes:
    """Depthwise-separable, odd input, asymmetric SAME padding."""
    net = Net((49, 10, 1), seed).conv(16, (10, 4), (2, 2))
    for _ in range(2):
        net = net.depthwise().conv(16, (1, 1))
    return net.pool((25, 5)).flat().dense(12).softmax().bytes()


def image(seed=0) -> bytes:
    """A small residual network."""
    net = Net((16, 16, 3), seed).conv(16)
    before = net.at
    net = net.conv(16).conv(16, activation=NONE).add(before)
    trunk = net.at
    before = net.conv(32, (1, 1), (2, 2), activation=NONE).at
    net.at = trunk
    net = net.conv(32, stride=(2, 2)).conv(32, activation=NONE).add(before)
    return net.pool((8, 8)).flat().dense(10).softmax().bytes()


def wake(seed=0) -> bytes:
    """MobileNet's blocks with RELU6."""
    net = Net((24, 24, 3), seed).conv(8, stride=(2, 2), activation=RELU6)
    for stride, width in (((1, 1), 16), ((2, 2), 32), ((1, 1), 33)):
        net = net.depthwise(stride=stride, activation=RELU6).conv(width, (1, 1), activation=RELU6)
    return net.pool((6, 6)).flat().dense(2).softmax().bytes()


def anomaly(seed=0) -> bytes:
    """Dense layers only."""
    net = Net((160,), seed)
    for width in (64, 8, 63):
        net = net.dense(width, RELU)
    return net.dense(160).bytes()


def odd(seed=0) -> bytes:
    """What the four do not have: dilation, a depth multiplier, padded pooling, widths that are no multiple of four."""
    net = Net((1, 61, 1), seed).depthwise((1, 5), multiplier=7, padding=VALID)
    net = net.conv(9, (1, 3), dilation=(1, 4)).depthwise((1, 3), padding=VALID, dilation=(1, 3))
    return net.pool((1, 3), (1, 2), SAME).conv(5, (1, 7), (1, 3), VALID, NONE).bytes()


def averaged(seed=0) -> bytes:
    """A global mean over a size that is no power of two, as Keras writes it."""
    return Net((7, 9, 5), seed).conv(18, activation=RELU6).mean().dense(6).bytes()


def sequence(seed=0) -> bytes:
    """Dense layers on the places of a sequence, in four dimensions and in three."""
    net = Net((1, 40, 3), seed).conv(12, (1, 5)).dense_rows(8, (1, 1, 40, 8))
    return net.reshape((1, 40, 8)).dense_rows(7, (1, 40, 7)).bytes()


def groups(seed=0) -> bytes:
    """Groups of channels, constant channels, a depth multiplier on several channels."""
    net = Net((1, 20, 6), seed).grouped(10, 2).beside_constant(2).depthwise((1, 3), multiplier=2)
    return net.flat().dense(5).bytes()


def multiplied(seed=0) -> bytes:
    """Several outputs of each of many channels: padded and not, with a stride, of a few channels and of 21, with and
    without the short way to bytes."""
    net = Net((6, 9, 4), seed).depthwise((3, 3), multiplier=2, activation=NONE).conv(21, (1, 1))
    net = net.depthwise((2, 3), (1, 2), VALID, RELU6, multiplier=3).depthwise((5, 1), multiplier=2, activation=NONE)
    return net.pool((5, 2), (5, 2)).flat().dense(6).bytes()


def gated(seed=0) -> bytes:
    """Activations of their own, padding, cutting, a gate per channel."""
    net = Net((10, 9, 3), seed)
    net = net.one_input("PAD", "PadOptions", shape=(1, 13, 10, 3), more=[net.table([[0, 0], [2, 1], [1, 0], [0, 0]])])
    net = net.conv(8, activation=NONE).one_input("RELU", scale=np.float32(0.04), zero=-100).max_pool((3, 2), (2, 2))
    trunk = net.at
    net = net.mean().one_input("LOGISTIC", scale=np.float32(1 / 256), zero=-128)
    gate = net.one_input("RESHAPE", shape=(1, 1, 1, 8), more=[net.graph.index([1, 1, 1, 8])]).at
    net.at = trunk
    net = net.mul(gate).one_input("QUANTIZE", scale=np.float32(0.05), zero=-30)
    begin, end, steps = net.table([0, 1, 0, 0]), net.table([1, 6, 5, 8]), net.table([1, 1, 1, 1])
    net = net.one_input("STRIDED_SLICE", "StridedSliceOptions", shape=(1, 5, 5, 8), more=[begin, end, steps])
    return net.one_input("RELU6").flat().dense(7).bytes()


def clipped(seed=0) -> bytes:
    """The smaller and the larger of two: of a value per channel, of one value, of as many."""
    net = Net((5, 7, 6), seed).conv(6, activation=NONE)
    before = net.at
    net = net.two_inputs("MINIMUM", net.constant(net.rng.integers(-90, 90, 6)))
    net = net.two_inputs("MAXIMUM", net.constant(-40)).two_inputs("MINIMUM", before)
    return net.two_inputs("MAXIMUM", net.constant(net.rng.integers(-90, 0, (1, 7, 6)))).flat().dense(9).bytes()


def pieces(seed=0) -> bytes:
    """Cut along several axes at once, with steps, backwards, with ends that lie outside."""
    net = Net((9, 11, 6), seed).conv(7, activation=NONE)
    net = net.strided((1, 8, 4, 7), [0, 1, -9, 0], [1, 9, 10, 99], [1, 1, 2, 1])
    net = net.strided((1, 4, 4, 6), [0, -1, 0, 5], [1, -99, 4, 0], [1, -2, 1, -1], beginMask=4, endMask=8)
    net = net.one_input("SLICE", shape=(1, 3, 2, 5), more=[net.table([0, 1, 1, 0]), net.table([1, 3, 2, 5])])
    net = net.strided((3, 5), [0, 0, 1, 0], [1, 3, 2, 5], [1, 1, 1, 1], shrinkAxisMask=5)
    return net.reshape((1, 15)).dense(8).bytes()


def remembered(seed=0) -> bytes:
    """A line of delay, written over the old one; a maximum so far, of which the old value is needed while it is made; a
    variable that nothing assigns; values read twice, and after they were assigned."""
    net = Net((1, 4, 3), seed)
    x, line, most, fixed = net.input, net.handle("line"), net.handle("most"), net.handle("fixed")
    held = net.read(line, (1, 1, 5, 3)).at
    again = net.read(line, (1, 1, 5, 3)).at
    whole = net.join(held, x).at
    net.at = again
    doubled = net.two_inputs("MAXIMUM", held).at
    net.at = whole
    net.strided((1, 1, 5, 3), [0, 0, 4, 0], [1, 1, 9, 3], [1, 1, 1, 1]).assign(line)
    net.at = x
    now = net.two_inputs("MAXIMUM", net.read(most, (1, 1, 4, 3)).at).at
    net.at = now
    net.assign(most)
    net.at = x
    late = net.read(most, (1, 1, 4, 3)).at
    least = net.read(fixed, (3,)).at
    net.at = x
    net.two_inputs("MINIMUM", least)
    net.join(net.at, late, whole, doubled)
    starts = {"line": (1, 1, 5, 3), "most": (1, 1, 4, 3), "fixed": (3,)}
    return (
        net.conv(4, (1, 3))
        .flat()
        .dense(9)
        .bytes_once({name: net.rng.integers(-100, -20, shape) for name, shape in starts.items()})
    )


NETWORKS = {
    f.__name__: f
    for f in (keyword, image, wake, anomaly, odd, averaged, sequence, groups, multiplied, gated, clipped, pieces)
}
