"""The columns one looks for without opening a document: pure functions from document to row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def of_measurement(document: Mapping[str, Any]) -> dict[str, Any]:
    """The row of ``measurements``."""
    latency, memory, runtime = document["latency"], document["memory"], document["runtime"] or {}
    low, high = latency["ci95_ns"] or (None, None)
    return {
        "runtime": runtime.get("name"),
        "runtime_version": runtime.get("version"),
        "delegate": runtime.get("delegate"),
        "num_threads": document["num_threads"],
        "processes": document["processes"],
        "median_ns": latency["median_ns"],
        "ci95_low_ns": low,
        "ci95_high_ns": high,
        "cold_start_ns": latency["cold_start_ns"],
        "peak_rss_bytes": memory["peak_rss_bytes"],
        "model_bytes": memory["model_bytes"],
        "boot_id": (document["facts"]["before"] or {}).get("boot_id"),
        "samples_file": document["samples_file"],
    }


def of_artifact(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The row of ``artifacts``."""
    score = manifest.get("score") or {}
    return {
        "kind": manifest["kind"],
        "size_bytes": manifest["size_bytes"],
        "gzip_bytes": manifest.get("gzip_bytes"),
        "source_sha256": manifest.get("source_sha256"),
        "metric": score.get("metric"),
        "score": score.get("final"),
        "score_drop": score.get("drop"),
    }


def of_deployment(document: Mapping[str, Any]) -> dict[str, Any]:
    """The row of ``deployments``."""
    release = document.get("release") or {}
    return {
        "release_id": release.get("id"),
        "previous": release.get("previous"),
        "uploaded_bytes": document.get("uploaded_bytes"),
    }


#: what a kind's columns are made by; kinds without an entry have none
OF_KIND: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "measurement": of_measurement,
    "artifact": of_artifact,
    "deployment": of_deployment,
}
