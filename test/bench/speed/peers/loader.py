"""A training loop as it is usually written: timm's Swin-Tiny, a DataLoader, and torchvision's crop and flip."""
import json

import chosen_products
import models
import numpy
import torch
from common import REQUEST, adamw, answer, inputs, measure, train_step
from PIL import Image
from torchvision import transforms


class Images(torch.utils.data.Dataset):
    def __init__(self):
        about = json.loads((inputs() / "train.json").read_text())
        size = REQUEST["imageSize"]
        images = numpy.fromfile(inputs() / "train-images.u8", dtype=numpy.uint8)
        # As PIL takes them: count x height x width x 3.
        self.images = images.reshape(-1, 3, size, size).transpose(0, 2, 3, 1).copy()
        self.labels = numpy.fromfile(inputs() / "train-labels.i32", dtype=numpy.int32)
        self.transform = transforms.Compose([
            transforms.RandomCrop(size, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(about["mean"], about["std"]),
        ])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def main():
    loader = torch.utils.data.DataLoader(
        Images(),
        batch_size=REQUEST["batchSize"],
        num_workers=REQUEST["workers"],
        shuffle=True,
        drop_last=True,
    )
    model = models.make()
    optimizer = adamw(model)
    figures = measure(train_step(model, optimizer, *batch) for batch in loader)
    answer(**figures, tuningSeconds=chosen_products.tuning_seconds())


main()
