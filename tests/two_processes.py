"""A short training in as many processes as asked for: ``python -m tests.two_processes PREPARED TARGET NAME`` runs two.

NAME is the discriminator's.
"""

import sys
from pathlib import Path

from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor

from gcl.images.prepared import Prepared
from gcl.training.from_params import build_trainer, training_pairs
from gcl.training.loop import train
from pipeline.params import parse_params, read_mapping
from tests.project import ROOT, TINY

STEPS = {"patch": 20, "projected": 5}

DISCRIMINATORS = {
    "patch": {},
    "projected": {"name": "projected", "augment": ["color", "translation", "cutout"], "r1": 1.0},
}


def learn(prepared: Path, discriminator: str, devices: int, batch_size: int) -> dict[str, Tensor]:
    """All weights after STEPS in float64; in float32, Adam soon enlarges the rounding by which sums differ."""
    sections = read_mapping(ROOT / "params.yaml")
    for section, values in TINY.items():
        sections[section].update(values)
    sections["discriminator"].update(DISCRIMINATORS[discriminator])
    sections["train"].update(steps=STEPS[discriminator], batch_size=batch_size)
    params = parse_params(sections, "params.yaml")
    fabric = Fabric(accelerator="cpu", devices=devices, precision="64-true")
    fabric.launch()
    trainer = build_trainer(params, fabric)
    for _ in train(trainer, training_pairs(params.train, Prepared(prepared), fabric.world_size), params.train):
        pass
    networks = trainer.state()["weights"]
    weights = {
        f"{name}.{key}": value.contiguous() for name, network in networks.items() for key, value in network.items()
    }
    if fabric.is_global_zero and devices > 1:
        save_file(weights, sys.argv[2])
    return weights


if __name__ == "__main__":
    learn(Path(sys.argv[1]), sys.argv[3], devices=2, batch_size=1)
