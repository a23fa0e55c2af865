"""A language model's head and its loss, forward and backward, bfloat16, width 1024, 32768 words; each
run works on a copy of the weight. python cross_entropy.py TOKENS"""

import sys

import torch
from common import report
from torch.nn import functional

TOKENS = int(sys.argv[1])
hidden = torch.randn(TOKENS, 1024, device="cuda", dtype=torch.bfloat16)
weight = torch.randn(32768, 1024, device="cuda", dtype=torch.bfloat16)
target = torch.randint(0, 32768, (TOKENS,), device="cuda")


def run():
    inputs = hidden.detach().requires_grad_(True)
    head = weight.detach().clone().requires_grad_(True)
    functional.cross_entropy(functional.linear(inputs, head), target).backward()


for _ in range(2):
    run()
torch.cuda.synchronize()
torch.cuda.empty_cache()
torch.cuda.reset_peak_memory_stats()
run()
report()
