"""The tables of the ledger's file.

`spent` has the sums of all executions by quarters of an hour (Unix seconds // 900), so that a month
is at most some 3,000 rows however much was run, and pruning executions changes nothing. `accounts` says
up to which event each execution is in them, `quarter` when it was last heard of. A hold's `seen` is when its
process was last known to live (Unix seconds).
"""

VERSION = 1

TABLES = (
    """
    CREATE TABLE spent (
        quarter INTEGER PRIMARY KEY, tokens INTEGER, micros INTEGER, microseconds INTEGER, requests INTEGER
    )
    """,
    "CREATE TABLE accounts (execution PRIMARY KEY, revision INTEGER, quarter INTEGER) WITHOUT ROWID",
    """
    CREATE TABLE holds (
        execution, step, number INTEGER, pid INTEGER, started REAL, seen REAL,
        tokens INTEGER, micros INTEGER, microseconds INTEGER, requests INTEGER,
        PRIMARY KEY (execution, step, number)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE limits (period PRIMARY KEY, body TEXT) WITHOUT ROWID",
    "CREATE TABLE changes (id INTEGER PRIMARY KEY, period, body TEXT)",
    "CREATE TABLE breakers (part PRIMARY KEY, body TEXT) WITHOUT ROWID",
)

KEPT = ("limits", "changes", "breakers")
"""What cannot be had from the records again."""
