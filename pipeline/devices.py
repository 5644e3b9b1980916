"""Where the tensors live: Lightning Fabric with its mistakes told plainly."""

from lightning_fabric import Fabric

from gcl.errors import UserError


def make_fabric(accelerator: str, precision: str = "32-true") -> Fabric:
    """One device of the ``accelerator``; UserError if this machine has none or it cannot compute in ``precision``."""
    try:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    except (RuntimeError, ValueError) as error:
        # The first sentence says what is wrong; the rest is advice to users of Lightning.
        reason = str(error).split(". ")[0]
        raise UserError(f"train.accelerator {accelerator} with train.precision {precision}: {reason}") from error
