"""edgekit doctor."""

from __future__ import annotations

from edgekit.cli.invocation import command, exit_with, new_app
from edgekit.cli.output import Output

app = new_app("What is installed here, what is missing, and the command that adds it.")


@command(app, "doctor", example="edgekit doctor")
def doctor(*, out: Output) -> None:
    """What is installed here, what is missing, and the command that adds it."""
    from rich.table import Table

    from edgekit.verbs.doctor import doctor as examine

    findings = examine()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("", "name", "found", "for"):
        table.add_column(header)
    for finding in findings:
        mark = "[green]✓[/green]" if finding.found else ("[red]✗[/red]" if finding.required else "[yellow]–[/yellow]")
        table.add_row(mark, finding.name, finding.found or f"missing: {finding.fix}", finding.needed_for)
    missing = [finding for finding in findings if finding.required and not finding.found]
    out.answer({"findings": findings, "ok": not missing}, table)
    if missing:
        exit_with(3)
