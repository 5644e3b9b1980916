"""The main run and its variants: where their files lie."""

from itertools import chain
from pathlib import Path

from gcl.config import MAIN, Params
from gcl.errors import UserError
from pipeline.running.run_folder import RunFolder, seed_folder
from pipeline.variants import seeds_of

Runs = dict[str, list[RunFolder]]
"""By variant, the main setting first: one run per seed."""


def find_runs(params: Params, main: RunFolder, ablations: Path) -> Runs:
    """``main`` and all runs in ``ablations``; UserError unless all were measured on the same test images."""
    if seeds_of(params, MAIN) and MAIN not in params.ablate.variants:
        raise UserError(
            f"ablate.seeds is {params.ablate.seeds}, but no variant runs the main setting with the seeds after the "
            f"first; add this line to ablate.variants in params.yaml: {MAIN}: {{}}"
        )

    def run(variant: str, seed: int) -> RunFolder:
        return RunFolder.inside(seed_folder(ablations / variant, seed), variant)

    runs = {MAIN: []} | {name: [run(name, seed) for seed in seeds_of(params, name)] for name in params.ablate.variants}
    runs[MAIN].insert(0, main)
    for other in chain(*runs.values()):
        if not other.per_image.index.equals(main.per_image.index):
            raise UserError(
                f"{other.reports}: measured on other test images than {main.reports}; "
                f"run: {other.command('gcl evaluate')}"
            )
    return runs
