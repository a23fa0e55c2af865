"""What the cases share: a model that is on the card without having been in host memory, and the figures
that the allocator holds, printed as one line of JSON in bytes."""

import ctypes
import json

import torch


class Counts(ctypes.Structure):
    """What the simulated card was asked since the process began; native/simulated/counts.h."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            *("launches", "products", "tf32Products", "collectives", "cudnnCalls", "synchronisations"),
            *("pageableCopies", "pinnedCopies", "bytesToDevice", "bytesToHost"),
            *("deviceCopies", "fills", "mallocs", "unorderedUses"),
        )
    ]


def counts():
    found = Counts()
    ctypes.CDLL(None).localformer_simulated_counts(ctypes.byref(found))
    return {name: getattr(found, name) for name, _ in Counts._fields_}


def counts_since(before):
    return {name: count - before[name] for name, count in counts().items()}


def on_card(build, dtype=None):
    """The module that build() makes, on the card in training mode, its values whatever they are.

    Parameters are allocated one by one in their order, as `.cuda()` does, and the host holds none.
    """
    with torch.device("meta"):
        model = build()
    if dtype is not None:
        model = model.to(dtype)
    return model.to_empty(device="cuda").train()


def figures():
    free, total = torch.cuda.mem_get_info()
    return {
        "allocated": torch.cuda.memory_allocated(),
        "reserved": torch.cuda.memory_reserved(),
        "peakAllocated": torch.cuda.max_memory_allocated(),
        "peakReserved": torch.cuda.max_memory_reserved(),
        "used": total - free,
    }


def workspaces():
    """What cuBLAS has of the allocator for its work, which is given back to be counted."""
    before = torch.cuda.memory_allocated()
    torch._C._cuda_clearCublasWorkspaces()
    return before - torch.cuda.memory_allocated()


def report(**more):
    found = {**counts(), **figures()}
    print(
        json.dumps({"torch": torch.__version__, **found, "workspaces": workspaces(), **more})
    )
