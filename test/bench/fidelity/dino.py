"""One rank of DINO's ViT-S/16: student and teacher, 2 crops of 224 px and 8 of 96, float16 autocast,
65536 prototypes, AdamW. python dino.py BATCH"""

import sys

import timm
import timm.layers
import torch
from common import report
from torch import nn
from torch.nn import functional

BATCH = int(sys.argv[1])
timm.layers.set_fused_attn(False)


class Wrapped(nn.Module):
    """The network and its projection head; crops of one size go through the network together."""

    def __init__(self, drop_path):
        super().__init__()
        self.network = timm.create_model(
            "vit_small_patch16_224", num_classes=0, dynamic_img_size=True, drop_path_rate=drop_path
        )
        self.mlp = nn.Sequential(
            *(nn.Linear(384, 2048), nn.GELU(), nn.Linear(2048, 2048), nn.GELU()),
            nn.Linear(2048, 256),
        )
        self.last = nn.utils.weight_norm(nn.Linear(256, 65536, bias=False))
        self.last.weight_g.requires_grad = False

    def forward(self, crops):
        features = torch.cat([self.network(torch.cat(group)) for group in crops])
        return self.last(functional.normalize(self.mlp(features), dim=-1, p=2))


student, teacher = Wrapped(0.1).cuda(), Wrapped(0.0).cuda()
for weight in teacher.parameters():
    weight.requires_grad = False
center = torch.zeros(1, 65536, device="cuda")
buckets = torch.empty(sum(one.numel() for one in student.parameters()), device="cuda")
optimizer = torch.optim.AdamW([one for one in student.parameters() if one.requires_grad], foreach=False)
scaler = torch.amp.GradScaler("cuda")
for _ in range(3):
    large = [torch.empty(BATCH, 3, 224, 224).cuda() for _ in range(2)]
    small = [torch.empty(BATCH, 3, 96, 96).cuda() for _ in range(8)]
    with torch.autocast("cuda", torch.float16):
        wanted = teacher([large])
        given = student([large, small])
        parts = (given / 0.1).chunk(10)
        targets = functional.softmax((wanted - center) / 0.04, dim=-1).detach().chunk(2)
        loss = 0
        for i, target in enumerate(targets):
            for j, part in enumerate(parts):
                if i != j:
                    loss = loss + torch.sum(-target * functional.log_softmax(part, -1), -1).mean()
        loss = loss / 18
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    for weight in student.parameters():
        if weight.grad is not None:
            weight.grad.data.norm(2)
    scaler.step(optimizer)
    scaler.update()
report()
