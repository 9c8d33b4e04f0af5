"""An unknown status is logged with its source and the status itself."""

from __future__ import annotations

import json

from local.chaos.experiment_runner import ExperimentRunner
from local.chaos.scenarios import large
from local.simulator import FaultRule, RequestKind, SetFields


def test_an_unknown_status_word_is_in_the_log_with_its_source(runner: ExperimentRunner) -> None:
    fault = FaultRule(SetFields({"status": "reticulating"}), RequestKind.GET_JOB, nth=2, times=1)
    evidence = runner.run(large(), faults=[fault])
    lines = [json.loads(line) for line in evidence.logs if "does not list" in line]
    assert [(line["level"], line["source"], line["unexpected"], line["detail"]) for line in lines] == [
        ("WARNING", "archive", "unknown_status", "reticulating")
    ]
