"""The peers' Swin-Tiny, with the weights that this package's network begins with."""
import chosen_products
import timm
import torchvision
from common import REQUEST, inputs
from safetensors.torch import load_file


def make():
    if REQUEST["variant"] == "chosen-products":
        chosen_products.install()
    if REQUEST["model"] == "timm":
        model = timm.create_model(
            "swin_tiny_patch4_window7_224",
            num_classes=10,
            drop_path_rate=0.0,
            img_size=REQUEST["imageSize"],
            window_size=REQUEST["windowSize"],
        )
    else:
        # As `swin_t`, which has stochastic depth and takes no other rate of it.
        model = torchvision.models.SwinTransformer(
            patch_size=[4, 4],
            embed_dim=96,
            depths=[2, 2, 6, 2],
            num_heads=[3, 6, 12, 24],
            window_size=[7, 7],
            stochastic_depth_prob=0.0,
            num_classes=10,
        )
    model.load_state_dict(load_file(inputs() / f"{REQUEST['model']}.safetensors"))
    return model.train()
