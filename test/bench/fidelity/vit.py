"""torchvision's ViT-L/16 at 224 px. python vit.py PROGRAM
tutorial, tutorial-fused: Adam, one image, PyTorch's tutorial of the optimizer step in backward.
float32, float16-mixed, bfloat16, bfloat16-16, bfloat16-accumulate: fine-tuning for 10 classes."""

import sys

import torch
from common import on_card, report
from torchvision.models import vit_l_16


def tutorial(is_fused):
    model = on_card(vit_l_16)
    if is_fused:
        optimizers = {p: torch.optim.Adam([p], foreach=False) for p in model.parameters()}

        def step(parameter):
            optimizers[parameter].step()
            optimizers[parameter].zero_grad()

        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(step)
    else:
        optimizer = torch.optim.Adam(model.parameters())
    for _ in range(3):
        image = torch.rand(1, 3, 224, 224).cuda()
        model(image).sum().backward()
        if not is_fused:
            optimizer.step()
            optimizer.zero_grad()


def fine_tune(batch, dtype=torch.float32, is_mixed=False, accumulate=None):
    """Three steps; the logits of the last one stay alive, as in the published program."""

    def build():
        model = vit_l_16()
        model.heads.head = torch.nn.Linear(1024, 10)
        return model

    model = on_card(build, dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-5)
    scaler = torch.amp.GradScaler("cuda", enabled=is_mixed)
    for index in range(3 * (accumulate or 1)):
        features = torch.empty(batch, 3, 224, 224).cuda()
        targets = torch.zeros(batch, dtype=torch.long).cuda()
        with torch.autocast("cuda", torch.float16, enabled=is_mixed):
            logits = model(features.to(dtype))
        logits = logits.float()
        loss = torch.nn.functional.cross_entropy(logits, targets) / (accumulate or 1)
        if accumulate is None:
            optimizer.zero_grad()
        scaler.scale(loss).backward()
        if accumulate is None:
            scaler.step(optimizer)
            scaler.update()
        elif index % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()


PROGRAMS = {
    "tutorial": lambda: tutorial(False),
    "tutorial-fused": lambda: tutorial(True),
    "float32": lambda: fine_tune(64),
    "float16-mixed": lambda: fine_tune(64, is_mixed=True),
    "bfloat16": lambda: fine_tune(64, torch.bfloat16),
    "bfloat16-16": lambda: fine_tune(16, torch.bfloat16),
    "bfloat16-accumulate": lambda: fine_tune(4, torch.bfloat16, accumulate=4),
}

PROGRAMS[sys.argv[1]]()
report()
