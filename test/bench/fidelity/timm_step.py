"""Training steps of a timm model. python timm_step.py MODEL BATCH DTYPE OPTIMIZER [--plain-attention]
[--clip NORM] [--drop-path RATE] [--classes N] [--ddp] [--checkpoints]; DTYPE float32, bfloat16 or float16
(autocast); OPTIMIZER adamw or adamw-fused; --checkpoints: timm's own, of every block."""

import argparse

import timm
import timm.layers
import torch
from common import counts, counts_since, on_card, report

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("batch", type=int)
parser.add_argument("dtype", choices=["float32", "bfloat16", "float16"])
parser.add_argument("optimizer", choices=["adamw", "adamw-fused"])
parser.add_argument("--plain-attention", action="store_true")
parser.add_argument("--clip", type=float)
parser.add_argument("--drop-path", type=float, default=0.0)
parser.add_argument("--classes", type=int, default=1000)
parser.add_argument("--ddp", action="store_true")
parser.add_argument("--checkpoints", action="store_true")
options = parser.parse_args()

if options.plain_attention:
    timm.layers.set_fused_attn(False)
# Not on_card: timm's models compute their masks and indices when they are made.
model = timm.create_model(
    options.model, num_classes=options.classes, drop_path_rate=options.drop_path
)
if options.checkpoints:
    model.set_grad_checkpointing()
model = model.cuda().train()
weights = torch.cuda.memory_allocated()
size = model.pretrained_cfg["input_size"]
if options.ddp:
    buckets = torch.empty(sum(one.numel() for one in model.parameters()), device="cuda")
fused = options.optimizer == "adamw-fused" or None
optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=fused)
scaler = torch.amp.GradScaler("cuda", enabled=options.dtype == "float16")
criterion = torch.nn.CrossEntropyLoss()
dtype = getattr(torch, options.dtype)
for _ in range(3):
    before = counts()
    images = torch.empty(options.batch, *size).pin_memory().cuda(non_blocking=True)
    labels = torch.zeros(options.batch, dtype=torch.long).pin_memory().cuda(non_blocking=True)
    with torch.autocast("cuda", dtype, enabled=dtype is not torch.float32):
        loss = criterion(model(images), labels)
    scaler.scale(loss).backward()
    if options.clip is not None:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    loss.item()
report(weights=weights, timm=timm.__version__, **counts_since(before))
