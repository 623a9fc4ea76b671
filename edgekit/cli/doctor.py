"""edgekit doctor."""

from __future__ import annotations

from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output

app = new_app("What is installed here, what is missing, and the command that adds it.")


@command(app, "doctor", example="edgekit doctor")
def doctor(*, out: Output) -> None:
    """What is installed here, what is missing, and the command that adds it."""
    from edgekit.report.terminal import rows_table
    from edgekit.verbs.doctor import doctor as examine

    findings = examine()
    rows = [
        (
            "✓" if finding.found else "✗" if finding.required else "–",
            finding.name,
            finding.found or "",
            finding.needed_for,
        )
        for finding in findings
    ]
    fixes = dict.fromkeys(finding.fix for finding in findings if finding.fix)
    missing = [finding for finding in findings if finding.required and not finding.found]
    out.answer(
        {"findings": findings, "ok": not missing},
        rows_table(("", "name", "found", "for"), rows),
        *(f"to add what is missing:  {fix}" for fix in fixes),
    )
    if missing:
        exit_with(3)
