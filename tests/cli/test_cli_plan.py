"""Which plan a command line means, and what it says where it means none."""

from __future__ import annotations

import pytest

COMMANDS = ["benchmark", "deploy"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["--plan", "publsh"], "unknown plan 'publsh'", "publish"),
        (["--plan", "publish", "--quick"], "--quick and --plan publish contradict each other", "leave one out"),
        (["--quick", "--max-time", "5"], "the plan quick never adds processes", "--plan standard"),
        (["--max-time", "100000"], "--max-time 100000: out of range", "0 to 86400 seconds"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_before_anything_runs(edgekit, command, options, message, hint):
    ran = edgekit(command, "nothing-here.tflite", *options, "--json")
    assert ran.status == 2
    assert message in ran.error["message"]
    assert hint in ran.error["hint"]


def test_the_environment_names_a_plan_too(edgekit):
    ran = edgekit("benchmark", "nothing-here.tflite", env={"EDGEKIT_PLAN": "publsh"})
    assert ran.status == 2
    assert "unknown plan 'publsh'" in ran.err
