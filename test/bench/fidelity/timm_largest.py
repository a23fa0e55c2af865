"""Largest batch of which a timm Swin trains. python timm_largest.py VARIANT PIXELS WINDOW CLASSES LIMIT TYPE
[checkpoints]: TYPE float32 or bfloat16 (autocast); checkpoints: timm's own gradient checkpointing; LIMIT: bytes
that the allocator may take. AdamW, PyTorch's defaults; two steps a try. Prints JSON: the batch, to 1 %."""

import gc
import sys

import timm
import torch
from common import report

variant, pixels, window, classes, limit, dtype, *more = sys.argv[1:]
total = torch.cuda.get_device_properties(0).total_memory
torch.cuda.set_per_process_memory_fraction(int(limit) / total)


def build():
    model = timm.create_model(
        f"swin_{variant}_patch4_window7_224",
        img_size=int(pixels),
        window_size=int(window),
        num_classes=int(classes),
    )
    if "checkpoints" in more:
        model.set_grad_checkpointing()
    model = model.cuda().train()
    return model, torch.optim.AdamW(model.parameters(), 1e-3)


def step(model, optimizer, batch):
    images = torch.empty(batch, 3, int(pixels), int(pixels), device="cuda")
    labels = torch.zeros(batch, dtype=torch.long, device="cuda")
    with torch.autocast("cuda", torch.bfloat16, enabled=dtype == "bfloat16"):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def attempt(model, optimizer, batch):
    """Peak bytes of two steps, from an empty cache; None where they do not fit."""
    try:
        torch.cuda.reset_peak_memory_stats()
        for _ in range(2):
            step(model, optimizer, batch)
        return torch.cuda.max_memory_allocated()
    except torch.OutOfMemoryError:
        return None
    finally:
        optimizer.zero_grad()
        gc.collect()
        torch.cuda.empty_cache()


def largest():
    try:
        model, optimizer = build()
    except torch.OutOfMemoryError:
        return 0
    fits, fails, known = 0, 1 << 16, []

    def attempted(batch):
        nonlocal fits, fails
        peak = attempt(model, optimizer, batch)
        if peak is None:
            fails = batch
        else:
            fits = batch
            known.append((batch, peak))

    for batch in (1, 4):
        if batch < fails:
            attempted(batch)
    away = 1
    while fails - fits > 1 + 0.01 * fits:
        middle = (fits + fails) // 2
        if len(known) > 1:
            (a, low), (b, high) = known[0], known[-1]
            middle = int(b + (0.96 * int(limit) - high) / ((high - low) / (b - a)))
        if middle <= fits:
            middle, away = fits + away, 2 * away
        elif middle >= fails:
            middle, away = fails - away, 2 * away
        attempted(min(max(middle, fits + 1), fails - 1))
    return fits


report(timm=timm.__version__, batch=largest())
