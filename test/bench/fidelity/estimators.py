"""What an estimator says a training step of timm's Swin-T takes: 224 px, 10 classes, no drop path,
float32, AdamW. python estimators.py kitsune|accelerate|memtracker BATCH. Prints JSON: bytes, version. Needs no
card but for memtracker, whose fake tensors ask the driver for a device."""

import json
import sys
from importlib.metadata import version

import timm
import torch

name, batch = sys.argv[1], int(sys.argv[2])
model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10, drop_path_rate=0.0)
model = model.train()


def kitsune():
    from kitsune.predict import predict_memory

    shape, dtype = (3, 224, 224), "float32"
    found = predict_memory(model, shape, batch_size=batch, dtype=dtype, optimizer="adamw")
    return found.total_bytes, f"torch-kitsune {version('torch-kitsune')}"


def accelerate():
    from accelerate.commands.estimate import estimate_training_usage
    from accelerate.utils import calculate_maximum_sizes

    weights, _ = calculate_maximum_sizes(model)
    usage = estimate_training_usage(weights, "float32")
    return usage["step"], f"accelerate {version('accelerate')}"


def memtracker():
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    # timm reads values while it makes a network, which fake tensors have not: they come afterwards.
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in model.modules():
            for key, one in module._parameters.items():
                if one is not None:
                    fake = torch.empty(one.shape, device="cuda")
                    module._parameters[key] = torch.nn.Parameter(fake)
            for key, one in module._buffers.items():
                if one is not None:
                    module._buffers[key] = torch.empty(one.shape, dtype=one.dtype, device="cuda")
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        images = torch.empty(batch, 3, 224, 224, device="cuda")
        labels = torch.zeros(batch, dtype=torch.long, device="cuda")
        tracker = MemTracker()
        tracker.track_external(model, optimizer, images, labels)
        with tracker:
            for _ in range(2):
                torch.nn.functional.cross_entropy(model(images), labels).backward()
                optimizer.step()
                optimizer.zero_grad()
                tracker.reset_mod_stats()
        peak = tracker.get_tracker_snapshot("peak")
    return peak[torch.device("cuda:0")]["Total"], f"torch {torch.__version__}"


found, made_by = {"kitsune": kitsune, "accelerate": accelerate, "memtracker": memtracker}[name]()
print(json.dumps({"bytes": found, "version": made_by}))
