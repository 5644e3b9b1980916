"""Patch-wise graph contrastive learning for unpaired image-to-image translation (Jung, Kwon and Ye, AAAI 2024).

The names below are loaded when first used, so that ``import gcl`` costs nothing.
"""

from importlib import import_module

_MODULES = {
    "Discriminator": "gcl.networks.patch_discriminator",
    "Generator": "gcl.networks.generator",
    "GraphContrast": "gcl.contrast.feature_contrasts",
    "GraphContrastiveLoss": "gcl.contrast.graph_loss",
    "PatchContrast": "gcl.contrast.feature_contrasts",
    "PatchNCE": "gcl.contrast.patch_nce",
    "Trainer": "gcl.training.trainer",
    "load_encoder": "gcl.networks.encoders",
    "load_generator": "gcl.networks.model_folder",
    "save_generator": "gcl.networks.model_folder",
    "train": "gcl.training.loop",
    "translate_folder": "gcl.networks.inference",
    "translate_image": "gcl.networks.inference",
}

__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module 'gcl' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
