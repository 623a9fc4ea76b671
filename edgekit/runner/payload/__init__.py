"""Runs one model on the board in one fresh process and prints what it measured.

Besides ``libLiteRt.so`` this is all that edgekit needs on a board: standard library only, Python 3.7 or newer, no
import of edgekit. It gets there as one file with one hash (``edgekit.runner.payload_file``), which Python starts:

    python3 -I -S payload.pyz < request.json    (for the Python-module runtimes without -I -S: they need site-packages)

The first line of standard input is the request: a ``Job`` of ``edgekit.runner.protocol`` (its mode says what comes
back: a ``Trial``, or a ``Profile``) or ``{"mode": "probe", …}``.
The answer is one line of JSON between the lines ``BEGIN`` and ``END``: the record, or ``{"error": {code, message}}``
with exit status 3. What libraries print to standard output goes to standard error.

The modules name one another relatively, so that they are the same on the board and here. They import no more than they
need: every module of the standard library shows in the memory figures. ``typing`` is for type checkers alone.
"""

from __future__ import annotations

from .answer import ABANDONED, BEGIN, END, FAILED

__all__ = ["ABANDONED", "BEGIN", "END", "FAILED"]
