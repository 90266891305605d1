"""Makes an ONNX graph from the weights of splade-tiny: `python -m app.adapters.splade_graph WEIGHTS FOLDER int8`.

See `minilm_graph`. The graph takes the `input_ids` (1, tokens) and `lengths` (1) of one text, both int32, and gives
`weights` (30522): what each word piece of the vocabulary says about the text, 0 where it says nothing.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from app.adapters.minilm_graph import (
    ACTIVATION_MAX,
    ACTIVATION_ZERO,
    EXTERNAL_FROM_BYTES,
    IR_VERSION,
    MICROSOFT,
    MICROSOFT_OPSET,
    OPSET,
    PRECISIONS,
    WEIGHT_MAX,
    Graph,
    encode,
)

LAYERS, HEADS, VOCABULARY = 2, 2, 30_522
VOCABULARY_PARTS = 8
EPSILON = 1e-12
HEAD = "cls.predictions"


def strongest_float(graph: Graph, x: str, table: NDArray[np.float32]) -> str:
    """For each word piece the highest score that any token gives it. What follows keeps the order, so it can wait."""
    scores = graph.add("MatMul", x, graph.constant(table.T))
    return graph.add("ReduceMax", scores, graph.constant([0, 1]), keepdims=0)


def strongest_int8(graph: Graph, x: str, table: NDArray[np.float32]) -> str:
    """With one scale for all tokens, which are normalised here, the maximum of integers is the maximum.

    The vocabulary is taken in parts whose scores fit into a processor's cache: at once they would take 20 MB.
    """
    channel_scale = np.abs(table).max(axis=1) / WEIGHT_MAX
    quantized = np.rint(table / channel_scale[:, None]).astype(np.int8).T
    largest = graph.add("ReduceMax", graph.add("Abs", x), keepdims=0)
    scale = graph.add("Mul", largest, graph.scalar(np.float32(1 / ACTIVATION_MAX)))
    zero = graph.scalar(np.uint8(ACTIVATION_ZERO))
    codes = graph.add("QuantizeLinear", x, scale, zero)
    weight_zero, tokens = graph.scalar(np.int8(0)), graph.constant([0, 1])
    parts = []
    for part in np.array_split(quantized, VOCABULARY_PARTS, axis=1):
        scores = graph.add("MatMulInteger", codes, graph.constant(part), zero, weight_zero)
        parts.append(graph.add("ReduceMax", scores, tokens, keepdims=0))
    strongest = graph.add("Concat", *parts, axis=0)
    scaled = graph.add("Mul", graph.add("Cast", strongest, to=TensorProto.FLOAT), scale)
    return graph.add("Mul", scaled, graph.constant(channel_scale.astype(np.float32)))


STRONGEST = {"fp32": strongest_float, "int8": strongest_int8}


def build(weights: Mapping[str, NDArray[np.float32]], precision: str) -> onnx.ModelProto:
    graph = Graph()
    words, product = PRECISIONS[precision]
    tokens = graph.add("Shape", "input_ids", start=1, end=2)
    x = encode(graph, weights, words, product, tokens, layers=LAYERS, heads=HEADS)
    x = product(graph, x, weights[f"{HEAD}.transform.dense.weight"].T)
    x = graph.add("BiasGelu", x, graph.constant(weights[f"{HEAD}.transform.dense.bias"]), domain=MICROSOFT)
    gain, shift = (graph.constant(weights[f"{HEAD}.transform.LayerNorm.{part}"]) for part in ("weight", "bias"))
    x = graph.add("LayerNormalization", x, gain, shift, axis=-1, epsilon=EPSILON)
    strongest = STRONGEST[precision](graph, x, weights["embeddings.word_embeddings.weight"])
    found = graph.add("Add", strongest, graph.constant(weights[f"{HEAD}.bias"]))
    one = graph.scalar(np.float32(1))
    last = graph.add("Log", graph.add("Add", graph.add("Relu", found), one))
    graph.nodes.append(helper.make_node("Identity", [last], ["weights"]))
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT32, [1, "tokens"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, [1]),
    ]
    outputs = [helper.make_tensor_value_info("weights", TensorProto.FLOAT, [VOCABULARY])]
    return helper.make_model(
        helper.make_graph(graph.nodes, "splade-tiny", inputs, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, MICROSOFT_OPSET)],
        ir_version=IR_VERSION,
    )


def renamed(weights: Mapping[str, Any]) -> dict[str, Any]:
    """By the names that MiniLM's file has."""
    return {
        name.removeprefix("bert.")
        .replace("LayerNorm.gamma", "LayerNorm.weight")
        .replace("LayerNorm.beta", "LayerNorm.bias"): value
        for name, value in weights.items()
    }


def main() -> None:
    weights_file, folder, precision = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    onnx.save_model(
        build(renamed(load_file(weights_file)), precision),
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=EXTERNAL_FROM_BYTES,
    )


if __name__ == "__main__":
    main()
