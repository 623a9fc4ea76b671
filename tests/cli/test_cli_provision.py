"""edgekit devices provision as a user meets it: the plan in sentences, one document, and what does not go together."""

from __future__ import annotations

import pytest
from sshd_board import Sshd


def test_a_dry_run_shows_the_plan_and_says_how_to_carry_it_out(edgekit):
    ran = edgekit("devices", "provision", "local", "--dry-run")
    assert ran.status == 0
    assert "needs glibc" in ran.out
    assert "nothing was sent; to do it: edgekit devices provision local" in ran.out


def test_the_document_of_a_dry_run_has_the_plan(edgekit):
    ran = edgekit("devices", "provision", "local", "--dry-run", "--json")
    document = ran.document
    assert document["schema"] == "edgekit.devices-provision/1"
    assert document["dry_run"] is True
    assert document["runtime"] is None
    assert document["plan"]["name"] == "LiteRT C API"
    assert document["plan"]["bytes_to_send"] > 1_000_000


def test_what_was_tried_and_works_is_not_said_to_be_tried_later(edgekit, sshd_board: Sshd):
    assert "if it does not load there" in edgekit("devices", "provision", "pi4", "--dry-run").out
    done = edgekit("devices", "provision", "pi4")
    assert "works on pi4" in done.out
    assert "if it does not load there" not in done.out


def test_the_document_of_a_download_is_still_that_of_this_command(edgekit):
    document = edgekit(
        "devices", "provision", "--download-only", "--abi", "x86_64", "--libc-version", "2.39", "--json"
    ).document
    assert document["command"] == "devices provision"
    assert document["next_command"] == "edgekit devices provision NAME"


def test_a_board_is_provisioned_and_edgekit_removed_again(edgekit, sshd_board: Sshd):
    done = edgekit("devices", "provision", "pi4", "--json")
    assert done.document["runtime"]["uploaded_bytes"] > 1_000_000
    (kind,) = edgekit("devices", "show", "pi4", "--json").document["cache"]
    assert (kind["kind"], kind["count"]) == ("runtimes", 2)
    assert "kept there: 2 runtime files" in " ".join(edgekit("devices", "show", "pi4").out.split())
    would = edgekit("devices", "provision", "pi4", "--runtime", "native", "--prune", "--dry-run")
    assert "would go from its cache: 1 runtime file (" in " ".join(would.out.split())  # the runner in Python
    assert "to do it: edgekit devices provision pi4 --runtime native --prune" in " ".join(would.out.split())
    would = edgekit("devices", "provision", "pi4", "--prune", "--dry-run", "--json").document
    assert (would["dry_run"], would["pruned"]) == (True, [])
    pruned = edgekit("devices", "provision", "pi4", "--prune", "--json")
    assert (pruned.status, pruned.document["pruned"]) == (0, [])
    gone = edgekit("devices", "provision", "pi4", "--remove")
    assert gone.status == 0
    assert "/home" in gone.out or sshd_board.home in gone.out
    assert list(sshd_board.path(sshd_board.home).iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no board is named"),
        (["pi4", "--dry-run", "--remove"], "exclude each other"),
        (["pi4", "--prune", "--remove"], "exclude each other"),
        (["pi4", "--abi", "aarch64"], "--download-only"),
        (["--download-only"], "no board is named"),
        (["pi4", "--runtime", "tensorrt"], "tensorrt"),
        (["--download-only", "--abi", "aarch64", "--library", "x.so"], "--download-only"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(edgekit, arguments, words):
    ran = edgekit("devices", "provision", *arguments)
    assert ran.status == 2
    assert words in ran.err
