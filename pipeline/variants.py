"""Stage of the ablation: what each variant reads, one file a variant.

A variant's stage depends on its file rather than on params.yaml. So it runs again when anything changes that it reads,
and does not when `dvc exp run -S graph.pooling=false` turns a number that the variant fixes itself.
"""

import json
from pathlib import Path

from gcl.config import Params
from gcl.files import replaced_folder
from pipeline.console import announce


def write_variants(params: Params, target: Path) -> None:
    """Fills ``target`` with NAME.json for every name in ``ablate.variants``."""
    seeds = list(params.ablate.seeds_from(params.train.seed))
    with replaced_folder(target) as folder:
        for name in params.ablate.variants:
            text = json.dumps({"seeds": seeds, **params.variant(name).read()}, indent=2)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    announce(f"variants: {', '.join(params.ablate.variants) or 'none'}")
