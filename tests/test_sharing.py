"""What DVC keeps can be pushed, pulled and brought back, even if the ablation was never run.

In that case DVC misses the outputs of stages that are not in dvc.lock, and has to be told that this is intended.
"""

import pytest
from ruamel.yaml import YAML

from tests.project import ROOT, run

NOT_RUN = ("variants", "ablate@", "compare")


@pytest.fixture(scope="module")
def storage(project, tmp_path_factory):
    """A remote to which the reproduced project is pushed."""
    folder = tmp_path_factory.mktemp("storage")
    run(f"dvc remote add --local -d storage {folder} && dvc push -q", project)
    yield folder
    run("dvc remote remove --local storage", project)


@pytest.fixture
def reported(project, storage, tmp_path):
    """A clone with the remote, whose last commit is by somebody who ran only `dvc repro report`."""
    clone = tmp_path / "clone"
    run(f"git clone -q {project} {clone}", tmp_path)
    run(f"git config user.email a@b.c && git config user.name me && dvc remote add --local -d storage {storage}", clone)
    yaml = YAML()
    lock = yaml.load(clone / "dvc.lock")
    for name in [name for name in lock["stages"] if name.startswith(NOT_RUN)]:
        del lock["stages"][name]
    yaml.dump(lock, clone / "dvc.lock")
    run("git rm -qr reports/ablation* && git commit -qam reported", clone)
    return clone


def test_no_lock_of_another_machine_comes_along():
    """It would name outputs that no cache here has, and every checkout and pull would fail."""
    assert run("git ls-files dvc.lock", ROOT) == ""


def test_pull_checkout_and_push_end_well_without_the_ablation(reported):
    run("dvc pull --allow-missing", reported)
    assert len(list((reported / "data/translated").glob("*.png"))) == 4
    run("dvc checkout --allow-missing", reported)
    run("dvc push", reported)
    assert "up to date" in run("dvc repro report", reported)


def test_going_back_to_the_commit_brings_everything_back(reported):
    run("dvc pull -q --allow-missing", reported)
    metrics = (reported / "reports/metrics.json").read_bytes()
    (reported / "reports/metrics.json").write_text("{}")
    run("rm -r data/translated data/model", reported)
    run("git checkout HEAD . && dvc checkout --allow-missing", reported)
    assert (reported / "reports/metrics.json").read_bytes() == metrics
    assert "up to date" in run("dvc repro report", reported)


def test_after_the_ablation_plain_commands_do(project, storage, tmp_path):
    clone = tmp_path / "clone"
    run(f"git clone -q {project} {clone} && cd {clone} && dvc remote add --local -d storage {storage}", tmp_path)
    run("dvc pull && dvc checkout && dvc push", clone)
    assert "up to date" in run("dvc repro", clone)


def test_dvcs_pages_need_no_network(project):
    """The scripts for its curves are in the page, in the versions that DVC itself would fetch."""
    from dvc_render.vega import VegaRenderer

    page = (ROOT / ".dvc" / "plots.html").read_text(encoding="utf-8")
    fetched = [line.split("/npm/")[1].split('"')[0] for line in VegaRenderer.SCRIPTS.splitlines() if "/npm/" in line]
    assert fetched and all(f"/* {script}\n" in page for script in fetched)
    run("dvc plots diff HEAD", project)
    drawn = (project / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert "graph density" in drawn and '<script src="http' not in drawn
    assert run("git status --short", project) == ""
