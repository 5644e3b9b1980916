"""What a library user imports from gcl."""

import subprocess
import sys

import gcl

SINCE_THE_FIRST_VERSION = {
    "Discriminator",
    "Generator",
    "GraphContrast",
    "GraphContrastiveLoss",
    "PatchContrast",
    "PatchNCE",
    "Trainer",
    "load_encoder",
    "load_generator",
    "save_generator",
    "train",
    "translate_folder",
    "translate_image",
}


def test_every_public_name_is_there():
    assert set(gcl.__all__) >= SINCE_THE_FIRST_VERSION
    assert [name for name in gcl.__all__ if getattr(gcl, name).__name__ != name] == []


def test_importing_gcl_and_the_tables_imports_no_torch():
    tables = "gcl, gcl.contrast.methods, gcl.networks.encoders, gcl.networks.discriminators, pipeline.params"
    code = f"import sys, {tables}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
