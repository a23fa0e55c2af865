"""Programs of a few lines whose allocations are known to the byte. python small.py NAME"""

import sys

import torch
from common import report
from torch.utils.checkpoint import checkpoint_sequential


def first_linear():
    """One product on a fresh device: everything but the cuBLAS workspace is gone afterwards."""

    def product():
        layer = torch.nn.Linear(1, 1, device="cuda")
        layer(torch.randn(1, 1, device="cuda"))

    product()
    torch.cuda.synchronize()


def linear_forward():
    """Weight (1024, 1024), input and output (1, 512, 1024), kept."""
    layer = torch.nn.Linear(1024, 1024, bias=False).cuda()
    inputs = torch.rand(1, 512, 1024).cuda()
    return layer, inputs, layer(inputs)


def two_tensors():
    """4 MiB, then 1 GiB."""
    return torch.randn(1024, 1024, device="cuda"), torch.randn(256, 1024, 1024, 1, device="cuda")


def hundred_tensors():
    return [torch.randn(100, 100, device="cuda") for _ in range(100)]


def train_linear(batch, rounds):
    """SGD on a (1024, 32) weight; each round takes `batch` samples of (32, 1024) to the card."""
    weight = torch.randn(1024, 32, requires_grad=True, device="cuda")
    optimizer = torch.optim.SGD([weight], lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        for _ in range(rounds):
            samples = torch.empty(batch, 32, 1024).cuda()
            result = samples.matmul(weight)
            loss = result.sum()
            loss.backward()
        optimizer.step()


def checkpointed(is_checkpointed):
    """Linears 1000 -> 40000 -> 1000 -> 5 in two checkpointed segments; then once more without."""
    sizes = (1000, 40000, 1000, 5)
    parts = []
    for wide, narrow in zip(sizes, sizes[1:]):
        parts += [torch.nn.Linear(wide, narrow), torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts).to("cuda")
    inputs = torch.randn(10, 1000, device="cuda", requires_grad=True)
    out = checkpoint_sequential(parts, 2, inputs, use_reentrant=True)
    model.zero_grad()
    out.sum().backward()
    if is_checkpointed:
        return None
    # The published program keeps copies of the first result and gradients while it runs again.
    kept = [out.data.clone()] + [weight.grad.data.clone() for weight in model.parameters()]
    inputs = inputs.clone().detach_()
    out = model(inputs)
    kept.append(out.data.clone())
    model.zero_grad()
    out.sum().backward()
    return kept


PROGRAMS = {
    "first-linear": first_linear,
    "linear-forward": linear_forward,
    "two-tensors": two_tensors,
    "hundred-tensors": hundred_tensors,
    "accumulate": lambda: train_linear(128, 2),
    "no-accumulation": lambda: train_linear(256, 1),
    "checkpoint": lambda: checkpointed(True),
    "no-checkpoint": lambda: checkpointed(False),
}

kept = PROGRAMS[sys.argv[1]]()
report()
