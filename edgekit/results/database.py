"""The door to SQLAlchemy: a database by URL, its transactions, and its errors in our words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DependencyError, EdgekitError, StoreError, UsageError

if TYPE_CHECKING:
    import sqlalchemy

Row = Mapping[str, Any]


class Duplicate(StoreError):
    """A row with this key is there already."""


class Transaction:
    """Statements that happen all or not at all."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Row | None = None) -> list[dict[str, Any]]:
        """Runs one statement with ``:name`` parameters; the rows it gives, if it gives any.

        Raises:
            UsageError: a parameter is no Unicode text.
        """
        import sqlalchemy

        try:
            result = self._connection.execute(sqlalchemy.text(sql), dict(parameters or {}))
        except UnicodeEncodeError as error:
            raise UsageError(f"{error.object!a} is not UTF-8 text", hint="write it in UTF-8") from error
        return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def insert(self, table: str, row: Row) -> None:
        """Adds one row."""
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        self.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", row)  # noqa: S608 - names are ours

    def tables(self) -> set[str]:
        """The names of the tables that are there."""
        import sqlalchemy

        return set(sqlalchemy.inspect(self._connection).get_table_names())


class Database:
    """A database; every transaction is a connection of its own.

    Args:
        url: SQLAlchemy's, or the path of an SQLite file.
        patience_s: how long to wait for another writer.

    Attributes:
        shown: the URL without its password.
        file: of an SQLite database; None of a server.

    Raises:
        UsageError: not a URL.
        DependencyError: the driver for this kind of database is not installed.
    """

    def __init__(self, url: str, *, patience_s: float = 10.0) -> None:
        import sqlalchemy

        try:
            parsed = sqlalchemy.make_url(_full(url))
        except sqlalchemy.exc.ArgumentError as error:
            raise UsageError(
                "EDGEKIT_STORE is neither a file nor a database URL",
                hint="e.g. EDGEKIT_STORE=postgresql://user@host/edgekit, or a path; unset it for the default",
            ) from error
        self.shown = parsed.render_as_string(hide_password=True)
        self._patience_s = patience_s
        is_file = parsed.get_backend_name() == "sqlite"
        if is_file and parsed.database in (None, "", ":memory:"):
            raise UsageError("a store in memory keeps nothing", hint="set EDGEKIT_STORE to a file or a server")
        self.file = Path(str(parsed.database).removeprefix("file:").partition("?")[0]) if is_file else None
        try:
            self._engine = self._open(parsed)
        except sqlalchemy.exc.NoSuchModuleError as error:
            raise UsageError(f"{parsed.get_backend_name()}: no such kind of database") from error
        except ModuleNotFoundError as error:
            package = "psycopg[binary]" if error.name == "psycopg" else error.name
            raise DependencyError(
                f"the driver for {parsed.get_backend_name()} is not installed", hint=f'pip install "{package}"'
            ) from error

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that reads.

        Raises:
            StoreError: see :meth:`writing`.
        """
        with self._transaction("BEGIN") as transaction:
            yield transaction

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction that writes; an error undoes it.

        Raises:
            StoreError: locked by another writer, corrupt, full, read-only or unreachable.
        """
        # Taking the write lock at once lets a second writer wait; upgrading a read lock would fail instead.
        with self._transaction("BEGIN IMMEDIATE") as transaction:
            yield transaction

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        import sqlalchemy

        try:
            with self._engine.connect().execution_options(edgekit_begin=begin) as connection, connection.begin():
                yield Transaction(connection)
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._translated(error) from error

    def _open(self, url: sqlalchemy.URL) -> sqlalchemy.Engine:
        import sqlalchemy

        if self.file is None:
            server = {"connect_timeout": 10} if url.get_backend_name() == "postgresql" else {}
            return sqlalchemy.create_engine(url, pool_pre_ping=True, connect_args=server)
        arguments = {"timeout": self._patience_s}
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=arguments)

        @sqlalchemy.event.listens_for(engine, "connect")
        def connect(connection: Any, _: object) -> None:
            connection.isolation_level = None  # sqlite3 must not begin transactions by its own rules
            connection.text_factory = _decoded
            with contextlib.suppress(Exception):  # read-only, or another process is just doing it: the next use tells
                if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                    connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA foreign_keys=ON")

        @sqlalchemy.event.listens_for(engine, "begin")
        def begin(connection: sqlalchemy.Connection) -> None:
            connection.exec_driver_sql(connection.get_execution_options().get("edgekit_begin", "BEGIN"))

        return engine

    def _translated(self, error: sqlalchemy.exc.SQLAlchemyError) -> EdgekitError:
        import sqlalchemy

        text = str(getattr(error, "orig", None) or error).strip().splitlines()[0][:300]
        if isinstance(error, sqlalchemy.exc.IntegrityError):
            return Duplicate(f"the store {self.shown} has this row already: {text}")
        if self.file is not None:
            for signs, cause, hint in _FILE_FAULTS:
                if any(sign in text for sign in signs):
                    return StoreError(f"the store {self.file} {cause} ({text})", hint=hint.format(file=self.file))
        return StoreError(
            f"the store {self.shown} does not answer: {text}",
            hint="check EDGEKIT_STORE and whether the database runs; unset it to use a local file",
        )


_Fault = tuple[tuple[str, ...], str, str]
_FILE_FAULTS: tuple[_Fault, ...] = (
    (("is locked",), "is in use by another process", "wait for the other edgekit to end, then try again"),
    (
        ("not a database", "malformed", "file is encrypted"),
        "is damaged or not a database",
        "nothing was changed; put a back-up in its place, or move it aside and start anew: mv {file} {file}.damaged; "
        "of a damaged store `sqlite3 {file}.damaged .recover | sqlite3 saved.sqlite` saves what can be read",
    ),
    (("disk is full", "disk I/O error"), "cannot grow: the disk is full", "make room on the disk, then try again"),
    (
        ("readonly", "unable to open"),
        "cannot be opened for writing",
        "make {file} and its folder writable, or set EDGEKIT_STORE to another file",
    ),
)


def retried(work: Callable[[], None]) -> None:
    """Runs ``work`` again when another process did the same thing at the same moment."""
    try:
        work()
    except StoreError:
        work()


def _decoded(content: bytes) -> str:
    """Text of a column; a damaged byte stays to be seen, and is one row's damage instead of the whole store's."""
    return content.decode("utf-8", "surrogateescape")


def _full(url: str) -> str:
    """A path becomes SQLite's URL; PostgreSQL's usual names get the driver that we ask for."""
    if "://" not in url:
        return f"sqlite:///{Path(url).expanduser().absolute()}"
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url
