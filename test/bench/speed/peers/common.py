"""What the peers of `npm run bench` share: what they are asked, their inputs, their clock and their answer.

Each is started as `python NAME.py JSON`, the JSON being the `Request` of ../contender.ts, and writes the
`Answer` of the same file as JSON to the file that the request names.
"""
import json
import pathlib
import sys
import time

import torch

REQUEST = json.loads(sys.argv[1])
DTYPE = getattr(torch, REQUEST["dtype"])
# Of the order of images, crops and flips.
torch.manual_seed(0)
LEARNING_RATE = 1e-4
WEIGHT_DECAY = 0.05


def inputs():
    return pathlib.Path(REQUEST["inputs"])


def autocast():
    """As PyTorch trains in bfloat16 on a processor; nothing in float32."""
    return torch.autocast("cpu", DTYPE, enabled=DTYPE is not torch.float32)


def adamw(model):
    """Fused, without decay of biases, norms and bias tables, as this package groups them."""
    decayed, plain = [], []
    for name, parameter in model.named_parameters():
        has_decay = parameter.dim() > 1 and "relative_position_bias_table" not in name
        (decayed if has_decay else plain).append(parameter)
    groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)


def train_step(model, optimizer, images, labels):
    with autocast():
        loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def measure(steps):
    """Times each step of an iterable that takes one whenever it is asked; gives what `answer` takes."""
    seconds, losses = [], []
    total = REQUEST["warmup"] + REQUEST["steps"]
    begin = time.perf_counter()
    for loss in steps:
        now = time.perf_counter()
        seconds.append(now - begin)
        losses.append(loss)
        begin = now
        if len(losses) == total:
            break
    measured = slice(REQUEST["warmup"], None)
    return {
        "firstStepSeconds": seconds[0],
        "stepSeconds": seconds[measured],
        "losses": losses,
    }


def answer(**figures):
    status = pathlib.Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    for name in ["torchvision", "timm"]:
        if name in sys.modules:
            versions[name] = sys.modules[name].__version__
    document = {
        "firstStepSeconds": None,
        "losses": [],
        "tuningSeconds": None,
        "peakAllocatedBytes": None,
        "threads": torch.get_num_threads(),
        "peakRssBytes": int(peak.split()[1]) * 1024,
        "versions": versions,
        **figures,
    }
    pathlib.Path(REQUEST["answer"]).write_text(json.dumps(document))


def skip(reason):
    """Ends the process: this machine cannot show what was asked."""
    pathlib.Path(REQUEST["answer"]).write_text(json.dumps({"skipped": reason}))
    sys.exit(0)
