"""Makes an ONNX graph from the weights of all-MiniLM-L6-v2: `python -m app.adapters.minilm_graph WEIGHTS FOLDER int8`.

A process of its own, since what it imports and allocates would stay with a server for good. The graph takes
`input_ids` (batch, tokens) and `lengths` (batch), both int32; it gives `embedding` (batch, 384), float32, of length 1.

int8: weights have a scale per output channel, activations one per token, made as they come. A scale for the whole
tensor, which the ready-made operators have, loses much: some tokens reach ten times the values of all others, and a
text's vector would depend on the texts in its batch. Weights use 7 of the 8 bits, because processors without VNNI
add two products in 16 bits, where full ones overflow: so all machines give the same vectors.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

LAYERS, HEADS, DIMENSIONS, POSITIONS = 6, 12, 384, 256
EPSILON = 1e-12
MICROSOFT = "com.microsoft"
OPSET, MICROSOFT_OPSET, IR_VERSION = 21, 1, 10
WEIGHT_MAX = 63.0  # two products with an 8-bit activation stay below 2 ** 15
ACTIVATION_MAX, ACTIVATION_ZERO = 127.0, 128
EXTERNAL_FROM_BYTES = 1024  # larger constants lie in the file that is mapped into memory

Array = NDArray[Any]
Weights = Mapping[str, NDArray[np.float32]]


class Graph:
    """Nodes and constants in the making; values are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Array | np.generic | list[int]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def scalar(self, value: np.generic) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        return self.add_many(operator, 1, *inputs, domain=domain, **attributes)[0]

    def add_many(self, operator: str, count: int, *inputs: str, domain: str = "", **attributes: Any) -> tuple[str, ...]:
        name = f"{operator}_{len(self.nodes)}"
        outputs = tuple(f"{name}_{number}" for number in range(count))
        self.nodes.append(helper.make_node(operator, inputs, outputs, name, domain=domain, **attributes))
        return outputs


Product = Callable[[Graph, str, NDArray[np.float32]], str]  # x (…, inputs) times a weight (inputs, outputs)
Words = Callable[[Graph, NDArray[np.float32]], str]  # input_ids to rows of a table


def float_product(graph: Graph, x: str, weight: NDArray[np.float32]) -> str:
    return graph.add("MatMul", x, graph.constant(weight))


def int8_product(graph: Graph, x: str, weight: NDArray[np.float32]) -> str:
    channel_scale = np.abs(weight).max(axis=0) / WEIGHT_MAX
    quantized = np.rint(weight / channel_scale).astype(np.int8)
    largest = graph.add("ReduceMax", graph.add("Abs", x), graph.constant([-1]), keepdims=1)
    token_scale = graph.add("Mul", largest, graph.scalar(np.float32(1 / ACTIVATION_MAX)))
    one, zero = graph.scalar(np.float32(1)), graph.scalar(np.uint8(ACTIVATION_ZERO))
    codes = graph.add("QuantizeLinear", graph.add("Div", x, token_scale), one, zero)
    product = graph.add(
        "MatMulIntegerToFloat",
        codes,
        graph.constant(quantized),
        one,
        graph.constant(channel_scale.astype(np.float32)),
        zero,
        graph.constant(np.zeros(weight.shape[1], np.int8)),
        domain=MICROSOFT,
    )
    return graph.add("Mul", product, token_scale)


def float_words(graph: Graph, table: NDArray[np.float32]) -> str:
    return graph.add("Gather", graph.constant(table), "input_ids")


def int8_words(graph: Graph, table: NDArray[np.float32]) -> str:
    scale = np.abs(table).max(axis=1, keepdims=True) / ACTIVATION_MAX
    codes = graph.add("Gather", graph.constant(np.rint(table / scale).astype(np.int8)), "input_ids")
    scales = graph.add("Gather", graph.constant(scale.astype(np.float32)), "input_ids")
    return graph.add("Mul", graph.add("Cast", codes, to=TensorProto.FLOAT), scales)


PRECISIONS = {"fp32": (float_words, float_product), "int8": (int8_words, int8_product)}


def build(weights: Weights, precision: str) -> onnx.ModelProto:
    graph = Graph()
    words, product = PRECISIONS[precision]
    tokens = graph.add("Shape", "input_ids", start=1, end=2)
    x = encode(graph, weights, words, product, tokens, layers=LAYERS, heads=HEADS)
    _pool(graph, x, tokens)
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT32, ["batch", "tokens"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
    ]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIMENSIONS])]
    return helper.make_model(
        helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, MICROSOFT_OPSET)],
        ir_version=IR_VERSION,
    )


def encode(
    graph: Graph, weights: Weights, words: Words, product: Product, tokens: str, *, layers: int, heads: int
) -> str:
    """What BERT makes of each token, (batch, tokens, hidden); `tokens` is the length of the longest text."""
    x = _embed(graph, weights, words, tokens)
    for layer in range(layers):
        x = _layer(graph, weights, f"encoder.layer.{layer}", product, heads, x)
    return x


def _embed(graph: Graph, weights: Weights, words: Words, tokens: str) -> str:
    first = weights["embeddings.token_type_embeddings.weight"][0]  # all tokens are of the first type
    table = weights["embeddings.position_embeddings.weight"][:POSITIONS] + first
    positions = graph.add("Slice", graph.constant(table[None]), graph.constant([0]), tokens, graph.constant([1]))
    found = words(graph, weights["embeddings.word_embeddings.weight"])
    return normalize(graph, weights, "embeddings.LayerNorm", found, positions)


def _layer(graph: Graph, weights: Weights, name: str, product: Product, heads: int, x: str) -> str:
    parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    together = np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1)
    biases = graph.constant(np.concatenate([weights[f"{part}.bias"] for part in parts]))
    parted = graph.add_many("Split", 3, product(graph, x, together), axis=-1, num_outputs=3)
    attended = graph.add("MultiHeadAttention", *parted, biases, "lengths", domain=MICROSOFT, num_heads=heads)
    x = _add_and_normalize(graph, weights, f"{name}.attention.output", product, attended, x)
    inner = product(graph, x, weights[f"{name}.intermediate.dense.weight"].T)
    inner = graph.add("BiasGelu", inner, graph.constant(weights[f"{name}.intermediate.dense.bias"]), domain=MICROSOFT)
    return _add_and_normalize(graph, weights, f"{name}.output", product, inner, x)


def _add_and_normalize(graph: Graph, weights: Weights, name: str, product: Product, x: str, skipped: str) -> str:
    found = product(graph, x, weights[f"{name}.dense.weight"].T)
    bias = graph.constant(weights[f"{name}.dense.bias"])
    return normalize(graph, weights, f"{name}.LayerNorm", found, skipped, bias)


def normalize(graph: Graph, weights: Weights, name: str, x: str, skipped: str, *bias: str) -> str:
    gain, shift = graph.constant(weights[f"{name}.weight"]), graph.constant(weights[f"{name}.bias"])
    inputs = (x, skipped, gain, shift, *bias)
    return graph.add("SkipLayerNormalization", *inputs, domain=MICROSOFT, epsilon=EPSILON)


def _pool(graph: Graph, x: str, tokens: str) -> None:
    """The mean over each text's own tokens; its sum will do, since the length becomes 1 in any case."""
    count = graph.add("Cast", graph.add("Squeeze", tokens), to=TensorProto.INT32)
    places = graph.add("Range", graph.scalar(np.int32(0)), count, graph.scalar(np.int32(1)))
    is_own = graph.add("Less", places, graph.add("Unsqueeze", "lengths", graph.constant([1])))
    chosen = graph.add("Unsqueeze", graph.add("Cast", is_own, to=TensorProto.FLOAT), graph.constant([1]))
    total = graph.add("Squeeze", graph.add("MatMul", chosen, x), graph.constant([1]))
    graph.nodes.append(helper.make_node("LpNormalization", [total], ["embedding"], axis=-1, p=2))


def main() -> None:
    weights_file, folder, precision = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    onnx.save_model(
        build(load_file(weights_file), precision),
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=EXTERNAL_FROM_BYTES,
    )


if __name__ == "__main__":
    main()
