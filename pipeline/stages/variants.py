"""Stage of the ablation: writes down what each variant reads, in one file per variant.

A variant's stage depends on its file rather than on params.yaml. It is therefore rerun when anything that it reads
changes, but not when `dvc exp run -S graph.pooling=false` changes a parameter that the variant itself sets.
"""

from pathlib import Path

from gcl.config import Params
from gcl.contrast.methods import read_by_training
from gcl.files import replaced_folder, write_json
from pipeline.console import announce
from pipeline.variant_params import seeds, variant_of


def write_variants(params: Params, target: Path) -> None:
    """Fills ``target`` with one NAME.json for every name in ``ablate.variants``."""
    with replaced_folder(target) as folder:
        for name in params.ablate.variants:
            read = read_by_training(variant_of(params, name))
            write_json(folder / f"{name}.json", {"seeds": list(seeds(params)), **read})
    announce(f"variants: {', '.join(params.ablate.variants) or 'none'}")
