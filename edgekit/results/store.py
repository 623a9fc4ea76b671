"""The store of record: every measurement, artifact and deployment, kept for good."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from edgekit.core.decode import from_json, to_json
from edgekit.core.errors import StoreError, UsageError
from edgekit.core.notice import Notice
from edgekit.core.places import data_dir
from edgekit.core.version import VERSION
from edgekit.measure.emulated import called, is_emulated
from edgekit.measure.measurement import Measurement, to_document
from edgekit.measure.samples import Samples
from edgekit.results import figures, rows, waiting
from edgekit.results.database import Database, Duplicate
from edgekit.results.query import Query
from edgekit.results.query import prefix as prefix_of
from edgekit.results.record import Kind, StoredResult, storable
from edgekit.results.schema import migrate


def open_store(url: str | None = None, *, patience_s: float = 10.0) -> Store:
    """Opens the store, makes or updates its tables, and takes in what waited for it.

    Args:
        url: SQLAlchemy's URL or the path of an SQLite file; None: ``EDGEKIT_STORE``, else a file in the data folder.
        patience_s: how long to wait for another writer.

    Raises:
        StoreError: locked, damaged, full, read-only, unreachable, or written by a newer edgekit.
        UsageError, DependencyError: see :class:`Database`.
    """
    database = Database(url or store_place(), patience_s=patience_s)
    if database.file is not None:
        try:
            database.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the folder of the store {database.file}: {error.strerror or error}",
                hint="set EDGEKIT_HOME or EDGEKIT_STORE to a place that can be written to",
            ) from error
    migrate(database)
    store = Store(database)
    store.take_in_waiting()
    return store


def store_place() -> str:
    """Where the store is when nobody says: ``EDGEKIT_STORE``, else a file in the data folder."""
    return os.environ.get("EDGEKIT_STORE") or str(data_dir() / "results.sqlite")


class Store:
    """Kept results. All methods may be called from several processes at once.

    Attributes:
        database: where they are.
        notices: what the user should know, e.g. of results that still wait.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.notices: list[Notice] = []

    @property
    def url(self) -> str:
        """Where the store is, without any password."""
        return self.database.shown

    def add_measurement(self, measurement: Measurement) -> str:
        """Keeps a measurement, and its raw samples in a file (``samples_file`` of its document).

        Returns:
            Its id.

        Raises:
            StoreError: it could not be kept; where at all possible it waits in a file, and the message says where.
        """
        result_id = secrets.token_hex(6)
        path = waiting.samples_path(result_id)
        raw = waiting.packed({"schema": "edgekit.samples/1", "samples": storable(to_json(measurement.samples))})
        waiting.keep(path, raw)
        document = to_document(measurement, samples_file=str(path))
        return self._add(
            "measurement",
            document,
            figures.of_measurement(document),
            result_id=result_id,
            device=called(measurement.device, measurement.emulated),
            model=measurement.model.name,
            model_sha256=measurement.model.sha256,
            verdict=measurement.verdict,
            samples=raw,
        )

    def add_optimization(self, manifest: Mapping[str, Any]) -> str:
        """Keeps what an artifact's manifest says, without the golden samples, which stay beside the .tflite.

        Args:
            manifest: in JSON values.

        Returns:
            Its id.

        Raises:
            StoreError: see :meth:`add_measurement`.
        """
        document = {name: value for name, value in manifest.items() if name != "golden"}
        return self._add(
            "artifact", document, figures.of_artifact(manifest), model=manifest["name"], model_sha256=manifest["sha256"]
        )

    def add_deployment(self, document: Mapping[str, Any], *, device: str, model: str, model_sha256: str) -> str:
        """Keeps a deployment.

        Args:
            document: what ``edgekit deploy --json`` prints.
            device, model, model_sha256: what is where now.

        Returns:
            Its id.

        Raises:
            StoreError: see :meth:`add_measurement`.
        """
        return self._add(
            "deployment",
            document,
            figures.of_deployment(document),
            device=called(device, is_emulated(document)),
            model=model,
            model_sha256=model_sha256,
        )

    def add(
        self,
        kind: Literal["comparison", "gate", "profile", "selftest"],
        document: Mapping[str, Any],
        *,
        device: str,
        model: str,
        model_sha256: str,
        verdict: str | None = None,
    ) -> str:
        """Keeps a result whose document says everything.

        Args:
            kind: what it is.
            document: in JSON values.
            device: the board's name.
            model, model_sha256: what it is about; of several, the candidate.
            verdict: the verb's own word.

        Returns:
            Its id.

        Raises:
            StoreError: see :meth:`add_measurement`.
        """
        return self._add(
            kind,
            document,
            {},
            device=called(device, is_emulated(document)),
            model=model,
            model_sha256=model_sha256,
            verdict=verdict,
        )

    def list(
        self,
        kind: Kind | None = None,
        device: str | None = None,
        model: str | None = None,
        limit: int | None = 20,
        *,
        query: Query | None = None,
    ) -> tuple[StoredResult, ...]:
        """Kept results, newest first. Damaged ones are left out, each with a notice in :attr:`notices`.

        Args:
            kind: only these.
            device: only of this board; results of an emulated one are kept apart, as of ``pi4 (emulated)``.
            model: only of models of this name, or whose SHA-256 begins so.
            limit: at most so many; None: all.
            query: what is looked for, in more words; instead of the first three.

        Raises:
            UsageError: no such kind.
            StoreError: the store cannot be read.
        """
        asked = query or Query(kind=kind, device=device, model=model)
        found = []
        for row in self._rows(*asked.condition(), limit):
            try:
                found.append(rows.to_result(row, self.url))
            except StoreError as error:
                notice = Notice(code="result-damaged", message=f"left out: {error.message}", hint=error.hint or "")
                if notice not in self.notices:
                    self.notices.append(notice)
        return tuple(found)

    def get(self, prefix: str) -> StoredResult:
        """The one result whose id begins with ``prefix``.

        Raises:
            UsageError: none does, or several do.
            StoreError: the store cannot be read, or the result is damaged.
        """
        found = self._rows("id LIKE :prefix ESCAPE '!'", {"prefix": prefix_of(prefix.lower())}, 6) if prefix else []
        if len(found) == 1:
            return rows.to_result(found[0], self.url)
        if found:
            names = ", ".join(rows.shown(row["id"]) for row in found)
            raise UsageError(f"several results begin with {prefix!r}: {names}", hint="give more of the id")
        raise UsageError(f"no result {prefix!r}", hint="`edgekit results list` shows what there is")

    def samples(self, prefix: str) -> Samples:
        """The raw samples of a measurement.

        Raises:
            UsageError: no such result, or one without samples.
            StoreError: the samples are lost or damaged.
        """
        result = self.get(prefix)
        if result.kind != "measurement":
            raise UsageError(f"result {result.id} is of kind {result.kind} and has no samples")
        content = self.packed_samples(result)
        if content is None:
            raise StoreError(
                f"the raw samples of {result.id} are gone: {result.document.get('samples_file')}",
                hint="restore the file from a back-up, or import the result again from where it was exported",
            )
        source = f"the samples of {result.id}"
        value = waiting.unpacked(content, source)
        return from_json(Samples, value.get("samples"), source=source, error=StoreError, lenient=True)

    def packed_samples(self, result: StoredResult) -> bytes | None:
        """The raw samples of a measurement as gzip, from their file or the database; None: they are gone.

        Raises:
            StoreError: the store cannot be read.
        """
        named = result.document.get("samples_file")
        files = [Path(named)] if isinstance(named, str) else []
        if files and self.database.file is not None:
            # a data folder that was moved or copied: the path is that of where it came from
            files.append(self.database.file.parent / "samples" / Path(f"{result.id}.json.gz").name)
        for file in files:
            with contextlib.suppress(OSError):
                if file.is_file():
                    return file.read_bytes()
        with self.database.reading() as transaction:
            kept = transaction.execute("SELECT gzip_base64 FROM samples WHERE run_id = :id", {"id": result.id})
        try:
            return base64.b64decode(kept[0]["gzip_base64"], validate=True) if kept else None
        except ValueError as error:
            raise StoreError(f"the samples of {result.id} are damaged in the store: {error}") from error

    def export(self, kind: Kind | None = None, device: str | None = None, model: str | None = None) -> dict[str, Any]:
        """All matching results as one JSON document, oldest first."""
        found = self.list(kind, device, model, None)
        return {"schema": "edgekit.results/1", "results": [to_json(result) for result in reversed(found)]}

    def take_in_waiting(self) -> None:
        """Adds what an earlier run could not; what is damaged stays where it is, with a notice."""
        for path in waiting.waiting_paths():
            try:
                entry = waiting.unpacked(path.read_bytes(), str(path))
                with contextlib.suppress(Duplicate):
                    self._insert(_named(entry["row"]), entry["figures"], entry.get("samples"))
                path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # another process took it in
            except (StoreError, KeyError, TypeError, OSError) as error:
                hint = error.hint or "" if isinstance(error, StoreError) else ""
                message = f"a result still waits in {path}: {error}"
                self.notices.append(Notice(code="result-waiting", message=message, hint=hint))

    def _add(
        self,
        kind: Kind,
        document: Mapping[str, Any],
        columns: dict[str, Any],
        *,
        model: str,
        model_sha256: str,
        device: str | None = None,
        verdict: str | None = None,
        result_id: str | None = None,
        samples: bytes | None = None,
    ) -> str:
        row = {
            "id": result_id or secrets.token_hex(6),
            "kind": kind,
            "created": datetime.now(timezone.utc).isoformat(timespec="microseconds"),
            "edgekit": VERSION,
            "device": rows.text(device),
            "model": rows.text(model),
            "model_sha256": model_sha256,
            "verdict": verdict,
            "document": json.dumps(storable(to_json(document)), allow_nan=False),
        }
        details = {name: rows.text(value) for name, value in columns.items()}
        shared = base64.b64encode(samples).decode() if samples and self.database.file is None else None
        try:
            self._insert(row, details, shared)
        except StoreError as error:
            path = waiting.waiting_path(str(row["id"]))
            try:
                waiting.keep(path, waiting.packed({"row": row, "figures": details, "samples": shared}))
            except StoreError as second:
                raise StoreError(f"{error.message}; the result could not be kept: {second}", hint=error.hint) from error
            raise StoreError(
                f"{error.message}; the result waits in {path} until the store can take it", hint=error.hint
            ) from error
        return str(row["id"])

    def _insert(self, row: Mapping[str, Any], details: Mapping[str, Any], samples: str | None) -> None:
        with self.database.writing() as transaction:
            rows.insert(transaction, row, details, samples)

    def _rows(self, condition: str, parameters: dict[str, Any], limit: int | None) -> Sequence[dict[str, Any]]:
        """The rows under a condition (our text; users' text comes as parameters)."""
        order = "ORDER BY created DESC, id DESC" + ("" if limit is None else " LIMIT :limit")
        with self.database.reading() as transaction:
            return rows.select(transaction, condition, parameters | ({} if limit is None else {"limit": limit}), order)


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that waited; one from before emulated boards were kept apart has the board's own name."""
    device = row["device"]
    emulated = device is not None and is_emulated(json.loads(row["document"]))
    return {**row, "device": called(device, True) if emulated else device}
