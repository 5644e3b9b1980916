"""Groups the runs of a sweep by setting: runs of one setting differ in nothing but their seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gcl.errors import UserError
from gcl.measures.statistics import Estimate
from pipeline.pages.rendering import code
from pipeline.sweeps.differences import Difference, paired_difference
from pipeline.sweeps.runs import SEED, LeftOut, Run, read_by_run, same_form
from pipeline.variant_params import written


@dataclass(frozen=True)
class Setting:
    """``params`` and ``origin`` hold those values by which settings differ; ``runs`` are ordered by seed."""

    params: Mapping[str, Any]
    origin: Mapping[str, str]
    runs: Sequence[Run]

    @property
    def values(self) -> dict[str, Any]:
        """Its parameters and its origin."""
        return {**self.params, **self.origin}

    @property
    def label(self) -> str:
        """Its values in words, such as ``graph.hops=2``."""
        return ", ".join(f"{key}={written(value)}" for key, value in self.values.items())

    def by_seed(self, metric: str) -> dict[int, float]:
        """The values of ``metric`` by seed, of the runs that have it."""
        return {run.seed: run.metrics[metric] for run in self.runs if metric in run.metrics}

    def estimate(self, metric: str) -> Estimate | None:
        """The ``metric`` over the seeds; None if a run does not have it."""
        values = list(self.by_seed(metric).values())
        return Estimate(values, None) if len(values) == len(self.runs) else None


@dataclass(frozen=True)
class Sweep:
    """All ``settings``, the baselines first.

    ``params`` and ``origins`` name what the settings differ by. ``left_out`` are runs that repeat the seed of a newer
    one. There is one baseline for each origin, and none where no run has its parameters.
    """

    params: Sequence[str]
    origins: Sequence[str]
    settings: Sequence[Setting]
    baselines: Sequence[Setting]
    left_out: Sequence[LeftOut]

    @property
    def varied(self) -> list[str]:
        """The names of all that settings differ by."""
        return [*self.params, *self.origins]

    def baseline_of(self, setting: Setting) -> Setting | None:
        """The baseline that ran on the same data, from the same commit; None for a baseline itself."""
        if setting in self.baselines:
            return None
        return next((baseline for baseline in self.baselines if baseline.origin == setting.origin), None)

    def difference(self, setting: Setting, metric: str) -> Difference | None:
        """By how much ``metric`` exceeds that of the baseline; None if they have no seed in common."""
        baseline = self.baseline_of(setting)
        return None if baseline is None else paired_difference(setting.by_seed(metric), baseline.by_seed(metric))


def group(runs: Sequence[Run], present: Mapping[str, Any], changes: Sequence[str]) -> Sweep:
    """Groups ``runs``, the newest first.

    The baseline has the ``present`` parameters, flat and all of them, with ``changes`` such as ``graph.hops=2``.
    UserError if nothing differs, or if there are changes and no run has the baseline's parameters.
    """
    if not runs:
        raise UserError("nothing to compare: there is no finished run with metrics")
    if len(runs) == 1:
        raise UserError(f"nothing to compare: {runs[0].name} is the only finished run with metrics")
    params, origins = differing([run.params for run in runs]), differing([run.origin for run in runs])
    if not params and not origins:
        raise UserError(f"nothing to compare: all {len(runs)} finished runs have the same parameters but for {SEED}")
    settings, left_out = _settings(runs, params, origins)
    wanted = _of(params, read_by_run({**present, **_changed(changes, params)}))
    baselines = [setting for setting in settings if params and same_form(setting.params) == same_form(wanted)]
    if changes and not baselines:
        labels = "; ".join(sorted(setting.label for setting in settings))
        raise UserError(f"--baseline: no run has {Setting(wanted, {}, ()).label}; there are: {labels}")
    ordered = sorted(settings, key=lambda setting: (setting not in baselines, _order(setting, [*params, *origins])))
    return Sweep(params, origins, ordered, [setting for setting in ordered if setting in baselines], left_out)


def differing(of_runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys that have several values, sorted. A run without a key, such as one by a method that does not read it,
    does not count for it."""
    values: dict[str, set[str]] = {}
    for of_run in of_runs:
        for key, value in of_run.items():
            values.setdefault(key, set()).add(same_form(value))
    return sorted(key for key, found in values.items() if len(found) > 1)


def _settings(
    runs: Sequence[Run], params: Sequence[str], origins: Sequence[str]
) -> tuple[list[Setting], list[LeftOut]]:
    """The settings, with one run per seed, and the runs that repeat the seed of a newer one."""
    by_seed: dict[str, dict[int, Run]] = {}
    left_out = []
    for run in runs:
        of_setting = by_seed.setdefault(same_form([_of(params, run.params), _of(origins, run.origin)]), {})
        kept = of_setting.setdefault(run.seed, run)
        if kept is not run:
            but = "" if kept.metrics == run.metrics else ", but other metrics"
            left_out.append(LeftOut(run.name, f"the same parameters and seed as {code(kept.name)}{but}"))
    ordered = [[of_setting[seed] for seed in sorted(of_setting)] for of_setting in by_seed.values()]
    return [Setting(_of(params, of[0].params), _of(origins, of[0].origin), of) for of in ordered], left_out


def _of(keys: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}


def _changed(changes: Sequence[str], params: Sequence[str]) -> dict[str, Any]:
    changed = {}
    for change in changes:
        key, _, value = change.partition("=")
        if key not in params or not value:
            raise UserError(f"--baseline {change}: expected KEY=VALUE, with one of these keys: {', '.join(params)}")
        try:
            changed[key] = YAML(typ="safe").load(value)
        except YAMLError as error:
            raise UserError(f"--baseline {change}: the value is not valid YAML") from error
    return changed


def _order(setting: Setting, keys: Sequence[str]) -> list[tuple[int, float, str]]:
    """Numbers by size, then all other values by name, then those without a value."""
    return [_place(setting.values[key]) if key in setting.values else (2, 0, "") for key in keys]


def _place(value: Any) -> tuple[int, float, str]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, value, "") if number else (1, 0, same_form(value))
