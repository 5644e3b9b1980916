"""Which file is used to find the MLflow run of a training."""

from pathlib import Path

import pytest

from gcl.errors import UserError
from pipeline.commands.folders import RUN, evaluation_run_file, training_run_file

OWN = (Path("data/prepared"), Path("data/translated"), Path("reports"))


@pytest.mark.parametrize(
    "reports, model, expected",
    [
        ("reports", "data/model", RUN),
        ("./reports/", "{here}/data/model", RUN),
        ("elsewhere", "data/model", Path("elsewhere/run.json")),
        ("elsewhere", "other", Path("elsewhere/run.json")),
    ],
)
def test_only_a_training_into_the_stages_own_folders_becomes_its_run(tmp_path, monkeypatch, reports, model, expected):
    monkeypatch.chdir(tmp_path)
    assert training_run_file(Path(reports), Path(model.format(here=tmp_path))) == expected


@pytest.mark.parametrize("other", range(3))
def test_an_evaluation_of_other_folders_goes_to_no_run_and_says_so(capsys, other):
    assert evaluation_run_file(None, None, *OWN) == RUN and capsys.readouterr().out == ""
    places = [Path("elsewhere") if index in (other, 2) else place for index, place in enumerate(OWN)]
    assert evaluation_run_file(None, None, *places) is None
    assert capsys.readouterr().out.startswith("not logged to MLflow")
    assert evaluation_run_file(None, "mine", *places) is None and capsys.readouterr().out == ""


@pytest.mark.parametrize("other", range(2))
def test_other_folders_numbers_do_not_take_the_place_of_the_stages(other):
    places = [Path("elsewhere") if index == other else place for index, place in enumerate(OWN)]
    with pytest.raises(UserError, match=r"with another --prepared or --translated, name --reports too"):
        evaluation_run_file(None, "mine", *places)
    with pytest.raises(UserError, match="with another --model, name --reports too"):
        training_run_file(OWN[-1], Path("elsewhere"))


def test_a_run_file_that_is_named_has_to_be_there_and_stands_alone(tmp_path):
    file = tmp_path / "run.json"
    with pytest.raises(UserError, match=r"run\.json: there is no such file"):
        evaluation_run_file(file, None, *OWN)
    file.write_text("{}")
    assert evaluation_run_file(file, None, *OWN) == file
    with pytest.raises(UserError, match="leave one of them out"):
        evaluation_run_file(file, "mine", *OWN)
