"""The store's tables: an append-only list of migrations, in SQL that SQLite and PostgreSQL both understand."""

from __future__ import annotations

from datetime import datetime, timezone

from edgekit.core.errors import StoreError
from edgekit.results.database import Database, Transaction, retried

# Never edit an entry: stores out there have run it. Append a new one. Each is a tuple of statements.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY, applied VARCHAR(40) NOT NULL)",
        """CREATE TABLE runs (
            id VARCHAR(32) NOT NULL PRIMARY KEY,
            kind VARCHAR(16) NOT NULL,
            created VARCHAR(40) NOT NULL,
            edgekit VARCHAR(32) NOT NULL,
            device TEXT,
            model TEXT NOT NULL,
            model_sha256 VARCHAR(64) NOT NULL,
            verdict VARCHAR(16),
            document TEXT NOT NULL
        )""",
        "CREATE INDEX runs_created ON runs (created)",
        """CREATE TABLE measurements (
            run_id VARCHAR(32) NOT NULL PRIMARY KEY REFERENCES runs (id),
            runtime TEXT,
            runtime_version TEXT,
            delegate TEXT,
            num_threads INTEGER NOT NULL,
            processes INTEGER NOT NULL,
            median_ns BIGINT,
            ci95_low_ns BIGINT,
            ci95_high_ns BIGINT,
            cold_start_ns BIGINT,
            peak_rss_bytes BIGINT,
            model_bytes BIGINT,
            boot_id TEXT,
            samples_file TEXT
        )""",
        """CREATE TABLE artifacts (
            run_id VARCHAR(32) NOT NULL PRIMARY KEY REFERENCES runs (id),
            kind VARCHAR(32) NOT NULL,
            size_bytes BIGINT NOT NULL,
            gzip_bytes BIGINT,
            source_sha256 VARCHAR(64),
            metric TEXT,
            score DOUBLE PRECISION,
            score_drop DOUBLE PRECISION
        )""",
        """CREATE TABLE deployments (
            run_id VARCHAR(32) NOT NULL PRIMARY KEY REFERENCES runs (id),
            release_id TEXT,
            previous TEXT,
            uploaded_bytes BIGINT
        )""",
        # For stores that several hosts share: the file that samples_file names is on only one of them.
        """CREATE TABLE samples (
            run_id VARCHAR(32) NOT NULL PRIMARY KEY REFERENCES runs (id),
            gzip_base64 TEXT NOT NULL
        )""",
    ),
    # What was measured on an emulated board was kept under the board's own name, where it passed for the board's.
    (
        """UPDATE runs SET device = device || ' (emulated)'
            WHERE kind IN ('measurement', 'deployment') AND document LIKE '%"emulated: an emulated processor%'""",
    ),
    # Results of other labs are taken in; their pi4 is not this one's.
    ("ALTER TABLE runs ADD COLUMN lab TEXT",),
    # A flipped bit in a document is a number like any other; rows from before have no sum, and are taken as they are.
    ("ALTER TABLE runs ADD COLUMN row_sha256 VARCHAR(64)",),
)

DETAIL_TABLES = {"measurement": "measurements", "artifact": "artifacts", "deployment": "deployments"}


def migrate(database: Database) -> None:
    """Brings the tables up to date.

    Raises:
        StoreError: a newer edgekit wrote them, or the file is another program's.
    """

    def step() -> None:
        with database.writing() as transaction:
            for number in range(_version(transaction, database), len(MIGRATIONS)):
                for statement in MIGRATIONS[number]:
                    transaction.execute(statement)
                applied = datetime.now(timezone.utc).isoformat(timespec="seconds")
                transaction.insert("schema_version", {"version": number + 1, "applied": applied})

    if version_of(database) < len(MIGRATIONS):
        retried(step)


def version_of(database: Database) -> int:
    """Which of the migrations its tables have; 0: there are none yet.

    Raises:
        StoreError: see :func:`migrate`.
    """
    with database.reading() as transaction:
        return _version(transaction, database)


def _version(transaction: Transaction, database: Database) -> int:
    tables = transaction.tables()
    if "schema_version" not in tables:
        if database.file is not None and tables:
            raise StoreError(
                f"{database.file} is another program's database (it has {', '.join(sorted(tables)[:3])})",
                hint="set EDGEKIT_STORE to a file of its own",
            )
        return 0
    version = int(transaction.execute("SELECT MAX(version) AS version FROM schema_version")[0]["version"] or 0)
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the store {database.shown} was written by a newer edgekit (schema {version}, this one knows "
            f"{len(MIGRATIONS)})",
            hint="pip install --upgrade edgekit",
        )
    return version
