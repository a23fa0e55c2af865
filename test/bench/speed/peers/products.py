"""The ways in which PyTorch can take the three products of a linear layer, and the fastest of them.

x: tokens x inputs, w: outputs x inputs, b: outputs, g: tokens x outputs (the output's gradient).
"""
import statistics
import time

import torch

onednn_linear = torch.ops.mkldnn._linear_pointwise


def widened(product, *operands):
    """The product in float32, rounded: the fastest where a processor multiplies bfloat16 slowly."""
    if operands[0].dtype != torch.bfloat16:
        return []
    wide = lambda t: None if t is None else t.float()
    return [lambda: product(*map(wide, operands)).bfloat16()]


def forward(x, w, b):
    linear = torch.nn.functional.linear
    return [
        lambda: linear(x, w, b),
        lambda: onednn_linear(x, w, b, "none", [], ""),
        *widened(linear, x, w, b),
    ]


def input_gradient(g, w):
    return [
        lambda: g @ w,
        lambda: onednn_linear(g, w.t().contiguous(), None, "none", [], ""),
        *widened(torch.matmul, g, w),
    ]


def weight_gradient(g, x):
    return [
        lambda: g.t() @ x,
        lambda: by_convolution(g, x),
        lambda: onednn_linear(g.t(), x.t(), None, "none", [], ""),
        *widened(torch.matmul, g.t(), x),
    ]


def batched(a, b):
    return [lambda: a @ b, *widened(torch.matmul, a, b)]


def by_convolution(g, x):
    """The weight gradient of a convolution of 1 x 1, with the tokens as its pixels."""
    tokens, outputs = g.shape
    inputs = x.shape[1]
    gradient = g.view(1, 1, tokens, outputs).permute(0, 3, 1, 2)
    image = x.view(1, 1, tokens, inputs).permute(0, 3, 1, 2)
    weight = torch.empty(outputs, inputs, 1, 1, dtype=x.dtype)
    return torch.ops.aten.convolution_backward(
        *[gradient, image, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1],
        [False, True, False],
    )[1].view(outputs, inputs)


def fastest(candidates, repeats=1):
    """The index of the fastest, and its median seconds, each after one call that is not timed."""
    seconds = []
    for call in candidates:
        call()
        times = []
        for _ in range(repeats):
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        seconds.append(statistics.median(times))
    return seconds.index(min(seconds)), min(seconds)
