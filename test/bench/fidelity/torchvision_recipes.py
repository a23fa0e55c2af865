"""Three steps of torchvision's reference training. python torchvision_recipes.py swin_v2_t|fcn_resnet50"""

import copy
import sys

import torch
import torchvision
from common import on_card, report
from torch.nn import functional


def buckets(model):
    """What DistributedDataParallel allocates beside the gradients."""
    return torch.empty(sum(weight.numel() for weight in model.parameters()), device="cuda")


def swin_v2_t(batch=128, size=256):
    """float16 autocast, AdamW, label smoothing on mixed labels, an averaged copy, clipping."""
    model = on_card(torchvision.models.swin_v2_t)
    held = (copy.deepcopy(model), buckets(model))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05, foreach=False)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    scaler = torch.amp.GradScaler("cuda")
    for _ in range(3):
        images, labels = torch.empty(batch, 3, size, size).cuda(), torch.zeros(batch, 1000).cuda()
        with torch.autocast("cuda", torch.float16):
            output = model(images)
            loss = criterion(output, labels)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0, foreach=False)
        scaler.step(optimizer)
        scaler.update()
        loss.item()
    return held


def fcn_resnet50(batch=4, size=480):
    """float32, SGD with momentum, an auxiliary head, 21 classes."""

    def build():
        return torchvision.models.segmentation.fcn_resnet50(
            weights=None, weights_backbone=None, aux_loss=True, num_classes=21
        )

    model = on_card(build)
    held = buckets(model)
    optimizer = torch.optim.SGD(
        model.parameters(), 0.02, momentum=0.9, weight_decay=1e-4, foreach=False
    )
    for _ in range(3):
        images = torch.empty(batch, 3, size, size).cuda()
        labels = torch.zeros(batch, size, size, dtype=torch.long).cuda()
        output = model(images)
        loss = functional.cross_entropy(output["out"], labels, ignore_index=255)
        loss = loss + 0.5 * functional.cross_entropy(output["aux"], labels, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return held


held = {"swin_v2_t": swin_v2_t, "fcn_resnet50": fcn_resnet50}[sys.argv[1]]()
report()
