"""Peak and time of a training step of Swin-T in Python's torch, end to end, for setting beside ours.

python3 torch_step.py BATCH [DEVICE] [STEPS]: timm's swin_tiny_patch4_window7_224 with 10 classes,
fused AdamW, float32 as torch sets it, random images of bytes in pinned memory. Prints one JSON
document; where torch or timm is missing, or torch has no CUDA device, {"left": reason}.
"""
import json
import statistics
import sys
import time


def left(reason):
    print(json.dumps({"left": reason}))
    sys.exit(0)


def main():
    batch = int(sys.argv[1])
    device = sys.argv[2] if len(sys.argv) > 2 else "cuda:0"
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    try:
        import torch
    except ImportError:
        left("torch is not installed for python3")
    try:
        import timm
    except ImportError:
        left("timm is not installed for python3")
    if not torch.cuda.is_available():
        left("torch of python3 sees no CUDA device")
    torch.manual_seed(0)
    torch.cuda.set_device(device)
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10, drop_path_rate=0.0)
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    # From pinned memory of the host in every step and normalised on the card, as in ours.
    images = torch.randint(0, 256, (batch, 3, 224, 224), dtype=torch.uint8).pin_memory()
    labels = (torch.arange(batch) % 10).pin_memory()
    mean = torch.tensor([0.485, 0.456, 0.406], device=device).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=device).view(3, 1, 1)

    def step():
        x = images.to(device, non_blocking=True).float().div_(255).sub_(mean).div_(deviation)
        loss = torch.nn.functional.cross_entropy(model(x), labels.to(device, non_blocking=True))
        del x
        loss.backward()
        optimizer.step()
        # As ours, in which a module's gradients are gone when its step is over.
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    try:
        for _ in range(3):
            step()
        torch.cuda.reset_peak_memory_stats()
        seconds = []
        for _ in range(steps):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            step()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begin)
    except torch.cuda.OutOfMemoryError:
        print(json.dumps({"torch": torch.__version__, "timm": timm.__version__, "outOfMemory": True}))
        return
    print(json.dumps({
        "torch": torch.__version__,
        "timm": timm.__version__,
        "outOfMemory": False,
        "peakAllocatedBytes": torch.cuda.max_memory_allocated(),
        "peakReservedBytes": torch.cuda.max_memory_reserved(),
        "stepSeconds": statistics.median(seconds),
    }))


main()
