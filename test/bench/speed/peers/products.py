"""The ways in which PyTorch can take the three products of a linear layer, and the fastest of them.

x: tokens x inputs, w: outputs x inputs, b: outputs, g: tokens x outputs (the output's gradient). Of bfloat16
each way is there in float32 too, its result rounded: the fastest where a processor multiplies bfloat16 slowly.
"""
import functools
import math
import statistics
import time

import torch


def by_onednn(x, w, b=None):
    return torch.ops.mkldnn._linear_pointwise(x, w, b, "none", [], "")


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


FORWARD = [torch.nn.functional.linear, by_onednn]
INPUT_GRADIENT = [
    torch.matmul,
    lambda g, w: by_onednn(g, w.t()),
    lambda g, w: by_onednn(g, w.t().contiguous()),
]
WEIGHT_GRADIENT = [
    lambda g, x: g.t() @ x,
    by_convolution,
    lambda g, x: by_onednn(g.t(), x.t()),
]
BATCHED = [torch.matmul]


def in_float32(operands):
    return [None if operand is None else operand.float() for operand in operands]


def candidates(ways, *operands):
    """Calls without arguments, one for each way; the same ones in the same order for the same types."""
    calls = [functools.partial(way, *operands) for way in ways]
    if operands[0].dtype == torch.bfloat16:
        calls += [lambda way=way: way(*in_float32(operands)).bfloat16() for way in ways]
    return calls


def seconds_of(call, repeats):
    """Their median after one call that is not timed; infinite where the processor cannot."""
    try:
        call()
    except RuntimeError:
        return math.inf
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def fastest(calls, repeats=3):
    """The index of the fastest, and its seconds."""
    seconds = [seconds_of(call, repeats) for call in calls]
    return seconds.index(min(seconds)), min(seconds)
