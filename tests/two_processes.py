"""A short training with each discriminator; ``python -m tests.two_processes PREPARED TARGET`` is for two processes.

TARGET is the folder for their weights.
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


def in_processes(devices: int) -> Fabric:
    """As many processes as ``devices``, started."""
    fabric = Fabric(accelerator="cpu", devices=devices, precision="64-true")
    fabric.launch()
    return fabric


def learn(prepared: Path, discriminator: str, fabric: Fabric, batch_size: int) -> dict[str, Tensor]:
    """All weights after STEPS in float64; in float32, Adam soon enlarges the rounding by which sums differ."""
    sections = read_mapping(ROOT / "params.yaml")
    for section, values in TINY.items():
        sections[section].update(values)
    sections["discriminator"].update(DISCRIMINATORS[discriminator])
    sections["train"].update(steps=STEPS[discriminator], batch_size=batch_size)
    params = parse_params(sections, "params.yaml")
    trainer = build_trainer(params, fabric)
    for _ in train(trainer, training_pairs(params.train, Prepared(prepared), fabric.world_size), params.train):
        pass
    networks = trainer.state()["weights"]
    return {f"{name}.{key}": value.contiguous() for name, network in networks.items() for key, value in network.items()}


if __name__ == "__main__":
    prepared, target = map(Path, sys.argv[1:])
    both = in_processes(2)
    for name in DISCRIMINATORS:
        weights = learn(prepared, name, both, batch_size=1)
        if both.is_global_zero:
            save_file(weights, target / f"{name}.safetensors")
