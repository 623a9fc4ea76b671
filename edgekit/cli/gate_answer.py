"""What a gate leaves behind: kept results, the answer, files for CI systems, and the exit status."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli.invocation import Interrupted, exit_with
from edgekit.cli.output import Output, error_document
from edgekit.cli.pairing import keep
from edgekit.core.decode import to_json

if TYPE_CHECKING:
    from edgekit.core.errors import EdgekitError
    from edgekit.core.notice import Notice
    from edgekit.measure.gate import Gate
    from edgekit.results.store import Store


class Files:
    """What is written for CI systems beside the answer.

    Args:
        junit, summary: where to; None: not at all.
        candidates: models' names → their files, for annotations.
        fail_open: what noise leaves open is an error; else a warning.
    """

    def __init__(
        self, *, junit: Path | None, summary: Path | None, candidates: Mapping[str, Path], fail_open: bool
    ) -> None:
        self._junit, self._summary, self.fail_open = junit, summary, fail_open
        self._candidates = candidates

    def check(self) -> None:
        """Finds out before minutes of work what cannot be written.

        Raises:
            UsageError: one of them cannot.
        """
        from edgekit.core.files import check_writable

        for path in (self._junit, self._summary):
            if path is not None:
                check_writable(path)

    @contextmanager
    def of_an_error(self, out: Output) -> Iterator[None]:
        """Within the block an error is written to the files too: it ends the gate before there is anything to judge."""
        from edgekit.core.errors import EdgekitError
        from edgekit.report.github import refused_command, refused_summary
        from edgekit.report.junit import refused_xml

        try:
            yield
        except EdgekitError as error:
            for failed in self._write(refused_xml(error), refused_summary(error)):
                out.complain(failed)
            self._annotate([refused_command(error)], out)
            raise

    def write(self, found: Gate, out: Output) -> list[EdgekitError]:
        """JUnit XML, the step's summary, and annotations where GitHub runs us; what could not be written after all."""
        from edgekit.report.github import step_summary, workflow_commands
        from edgekit.report.junit import junit_xml

        failed = self._write(junit_xml(found, fail_inconclusive=self.fail_open), step_summary(found))
        files = {name: str(path) for name, path in self._candidates.items()}
        self._annotate(workflow_commands(found, files, fail_inconclusive=self.fail_open), out)
        return failed

    def _write(self, junit: bytes, summary: str) -> list[EdgekitError]:
        from edgekit.core import files
        from edgekit.core.errors import UsageError

        failed: list[EdgekitError] = []
        if self._junit is not None:
            try:
                files.write_bytes(self._junit, junit)
            except UsageError as error:
                failed.append(error)
        if self._summary is not None:
            try:
                with self._summary.open("a", encoding="utf-8") as stream:  # what other steps have written stays
                    stream.write(summary)
            except OSError as error:
                failed.append(UsageError(f"cannot write {self._summary}: {error.strerror}"))
        return failed

    @staticmethod
    def _annotate(lines: Sequence[str], out: Output) -> None:
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in lines:
                out.line(line)


def answer(
    found: Gate,
    errors: Sequence[EdgekitError],
    *,
    devices: Sequence[Mapping[str, Any]],
    accepted: Sequence[Path],
    store: Store,
    out: Output,
    writes: Files,
) -> None:
    """Keeps, shows and writes what was decided; ends the command with its status.

    Args:
        found: what was decided.
        errors: what went wrong, of boards and models; each once.
        devices: an entry for each board, for scripts.
        accepted: baselines that are new now.
        store, out, writes: where to.
    """
    from edgekit.measure.gate import to_gate_document
    from edgekit.report.gated import gate_sentence, gate_table

    kept, notices = _keep(found, store)
    errors = [*errors, *writes.write(found, out)]
    document: dict[str, Any] = {
        **to_gate_document(found),
        "sentence": gate_sentence(found),
        "comparisons": kept,
        "devices": list(devices),
        "accepted": [str(path) for path in accepted],
        "warnings": to_json(tuple(dict.fromkeys(notices))),
    }
    if errors:
        document |= error_document(errors[0])
    out.notices(tuple(dict.fromkeys(notices)))
    out.answer(document, gate_table(found), *(f"baseline now: {path}" for path in accepted))
    for one in errors:
        out.complain(one)
        if out.debug:
            import traceback

            traceback.print_exception(one)
    if status := _status(found, errors, fail_open=writes.fail_open):
        exit_with(status)


def _status(found: Gate, errors: Sequence[EdgekitError], *, fail_open: bool) -> int:
    """Ctrl-C before all: half a gate decides nothing. A regression is one whatever became of the other boards."""
    if any(isinstance(one, Interrupted) for one in errors):
        return Interrupted.exit_code
    if found.verdict == "failed":
        return 7
    if errors:
        return errors[0].exit_code
    return 8 if found.verdict == "invalid" or (found.verdict == "inconclusive" and fail_open) else 0


def _keep(found: Gate, store: Store) -> tuple[list[dict[str, Any]], list[Notice]]:
    """Stores each comparison, and what was decided about it; the comparisons' documents, and what to tell."""
    from edgekit.core.errors import StoreError
    from edgekit.core.notice import Notice
    from edgekit.measure.gate import to_gate_document
    from edgekit.report.gated import gate_sentence

    documents: list[dict[str, Any]] = []
    notices: list[Notice] = []
    for comparison in found.comparisons:
        own = found.about(comparison)
        kept, more = keep(comparison, store)
        documents.append(kept)
        notices += more
        try:
            store.add(
                "gate",
                {**to_gate_document(own), "sentence": gate_sentence(own), "comparisons": [kept]},
                device=comparison.device,
                model=comparison.candidate.model.name,
                model_sha256=comparison.candidate.model.sha256,
                verdict=own.verdict,
            )
        except StoreError as error:  # what was decided must be seen even where it cannot be kept
            notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))
    return documents, notices
