"""The floor of a training step: all its products, at their shapes, each by the fastest way that there is.

Shapes are taken from timm's Swin-Tiny: linear layers (three products each), attention (two forward, four
backward), and the patch embedding as a linear layer. What lies between products takes no time here.
"""
import collections
import functools

import models
import products
import timm
import torch
from common import DTYPE, REQUEST, answer

REPEATS = 5


def shapes():
    """How often each product is taken: ("linear", tokens, inputs, outputs, bias) and ("attention", ...)."""
    counts = collections.Counter()
    embedding = []

    def of_linear(module, args, _):
        tokens = args[0].numel() // module.in_features
        bias = module.bias is not None
        counts["linear", tokens, module.in_features, module.out_features, bias] += 1

    def of_attention(module, args, _):
        windows, tokens, width = args[0].shape
        heads = module.num_heads
        counts["attention", windows * heads, tokens, width // heads] += 1

    def of_embedding(module, _, output):
        outputs = module.out_channels
        embedding.append((output.numel() // outputs, module.weight[0].numel(), outputs))

    model = models.make()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(of_linear)
        elif isinstance(module, timm.models.swin_transformer.WindowAttention):
            module.register_forward_hook(of_attention)
        elif isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(of_embedding)
    size = REQUEST["imageSize"]
    with torch.no_grad():
        model(torch.zeros(REQUEST["batchSize"], 3, size, size))
    return counts, embedding


def best(ways, *operands):
    """Seconds of the fastest; of bfloat16 also of one that takes and gives float32, without conversions."""
    calls = products.candidates(ways, *operands)
    if DTYPE is not torch.float32:
        wide = products.in_float32(operands)
        calls += [functools.partial(way, *wide) for way in ways]
    return products.fastest(calls, REPEATS)[1]


def linear(tokens, inputs, outputs, bias, has_input_gradient=True):
    x, g = torch.randn(tokens, inputs, dtype=DTYPE), torch.randn(tokens, outputs, dtype=DTYPE)
    w = torch.randn(outputs, inputs, dtype=DTYPE)
    b = torch.randn(outputs, dtype=DTYPE) if bias else None
    seconds = best(products.FORWARD, x, w, b) + best(products.WEIGHT_GRADIENT, g, x)
    return seconds + (best(products.INPUT_GRADIENT, g, w) if has_input_gradient else 0)


def attention(windows, tokens, width):
    """Of maps (tokens x tokens) and of values (tokens x width): scores and their use, and both gradients."""
    values = torch.randn(windows, tokens, width, dtype=DTYPE)
    maps = torch.randn(windows, tokens, tokens, dtype=DTYPE)
    by_width = best(products.BATCHED, values, values.transpose(1, 2))
    by_map = best(products.BATCHED, maps, values)
    by_map_transposed = best(products.BATCHED, maps.transpose(1, 2), values)
    return 2 * by_width + 2 * by_map + 2 * by_map_transposed


def main():
    counts, embedding = shapes()
    total = 0.0
    for (kind, *shape), count in counts.items():
        total += count * (linear if kind == "linear" else attention)(*shape)
    for tokens, inputs, outputs in embedding:
        total += linear(tokens, inputs, outputs, True, has_input_gradient=False)
    answer(stepSeconds=[total])


with torch.no_grad():
    main()
