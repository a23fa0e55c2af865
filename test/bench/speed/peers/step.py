"""Training steps of timm's or torchvision's Swin-Tiny on one batch: eager, with the linear layers' products
chosen by measuring, with checkpointing, or compiled."""
import chosen_products
import models
import numpy
import torch
from common import REQUEST, adamw, answer, inputs, measure, skip, train_step


def main():
    size = REQUEST["imageSize"]
    images = torch.from_numpy(numpy.fromfile(inputs() / "images.f32", dtype=numpy.float32))
    images = images.view(-1, 3, size, size)
    labels = torch.from_numpy(numpy.fromfile(inputs() / "labels.i32", dtype=numpy.int32)).long()
    variant = REQUEST["variant"]
    model = models.make()
    if variant == "checkpointing":
        model.set_grad_checkpointing(True)
    optimizer = adamw(model)
    forward = torch.compile(model) if variant == "compile" else model

    def steps():
        while True:
            yield train_step(forward, optimizer, images, labels)

    try:
        figures = measure(steps())
    except Exception as error:
        if variant != "compile":
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        skip(f"torch.compile: {type(error).__name__}: {lines[0] if lines else ''}")
    answer(**figures, tuningSeconds=chosen_products.tuning_seconds())


main()
