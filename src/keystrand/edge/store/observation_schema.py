"""The tables of an inventory's store. Nothing in them is secret: facts of public parts, and where they were seen.

Observations are never changed or removed: a row says in which run it was first and last there. What is current is what
the last run that ended saw. Texts that repeat are kept once: a fact for all places it was seen at, a place for all that
was seen there.
"""

VERSION = 1
"""In `user_version`; a later one is refused."""
APPLICATION_ID = 0x6B73696E
"""Says in the file's head whose it is (SQLite file format, 1.3): `ksin`."""

TABLES = (
    # one row a scan: `estate`, `content` and `document` are hashes, of what was to be scanned, of what the observations
    # say and of their file, the latter two empty until the run has ended; times are ISO 8601 in UTC
    "CREATE TABLE run(id INTEGER PRIMARY KEY, estate TEXT NOT NULL, tool TEXT NOT NULL, begun TEXT NOT NULL,"
    " ended TEXT NOT NULL DEFAULT '', content TEXT NOT NULL DEFAULT '', document TEXT NOT NULL DEFAULT '') STRICT",
    "CREATE TABLE identity(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    # `said`: canonical JSON; `digest`: of it
    "CREATE TABLE fact(id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, said TEXT NOT NULL)"
    " STRICT",
    "CREATE TABLE spot(id INTEGER PRIMARY KEY, target TEXT NOT NULL, place TEXT NOT NULL, probe TEXT NOT NULL,"
    " UNIQUE(target, place, probe)) STRICT",
    # `strength`: its rank, 0 the strongest
    "CREATE TABLE observation(identity INTEGER NOT NULL REFERENCES identity, fact INTEGER NOT NULL REFERENCES fact,"
    " spot INTEGER NOT NULL REFERENCES spot, strength INTEGER NOT NULL, first_run INTEGER NOT NULL REFERENCES run,"
    " last_run INTEGER NOT NULL REFERENCES run, PRIMARY KEY(identity, fact, spot, strength)) STRICT, WITHOUT ROWID",
    "CREATE INDEX observation_spot ON observation(spot, last_run)",
    # `said`: JSON of outcome, reason and counts
    "CREATE TABLE attempt(spot INTEGER NOT NULL REFERENCES spot, said TEXT NOT NULL,"
    " first_run INTEGER NOT NULL REFERENCES run, last_run INTEGER NOT NULL REFERENCES run,"
    " PRIMARY KEY(spot, said)) STRICT, WITHOUT ROWID",
    # what the last run knows that a later one need not read or ask again while it is the same: `ruleset` and
    # `definition` stand for all that decides what is found there, `asked` is when the endpoint was really asked
    "CREATE TABLE file(target TEXT NOT NULL, path TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,"
    " size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, ruleset TEXT NOT NULL,"
    " PRIMARY KEY(target, path)) STRICT, WITHOUT ROWID",
    "CREATE TABLE endpoint(target TEXT NOT NULL, place TEXT NOT NULL, definition TEXT NOT NULL, asked TEXT NOT NULL,"
    " PRIMARY KEY(target, place)) STRICT, WITHOUT ROWID",
    # what the last merge made of it, for questions; `id` is that of the identity
    "CREATE TABLE asset(id INTEGER PRIMARY KEY REFERENCES identity, name TEXT NOT NULL, kind TEXT NOT NULL,"
    " verdict TEXT NOT NULL, strength TEXT NOT NULL, fact TEXT NOT NULL) STRICT",
    # the system of each asset: `member` by the merge, `placed` where a rule of the estate and not the target says it
    "CREATE TABLE member(system TEXT NOT NULL, identity INTEGER NOT NULL REFERENCES identity,"
    " PRIMARY KEY(system, identity)) STRICT, WITHOUT ROWID",
    "CREATE TABLE placed(identity INTEGER NOT NULL REFERENCES identity, spot INTEGER NOT NULL REFERENCES spot,"
    " system TEXT NOT NULL, PRIMARY KEY(identity, spot)) STRICT, WITHOUT ROWID",
    "CREATE TABLE target(id TEXT PRIMARY KEY, system TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE owner(system TEXT NOT NULL, layer TEXT NOT NULL, owner TEXT NOT NULL,"
    " PRIMARY KEY(system, layer)) STRICT, WITHOUT ROWID",
)

# Of all records of a run: the same thing on several lines of a file is told apart by the order of the lines, those
# that only reports tell of last.
INCOMING = (
    "CREATE TEMP TABLE incoming(name TEXT, line INTEGER, fact BLOB, target TEXT, place TEXT, probe TEXT,"
    " strength INTEGER)",
    "CREATE TEMP VIEW named AS SELECT name, fact, target, place, probe, strength FROM incoming WHERE line IS NULL"
    " UNION ALL SELECT of_line(name, dense_rank() OVER (PARTITION BY name ORDER BY told, line)), fact, target, place,"
    " probe, strength FROM (SELECT *, min(probe = 'report') OVER (PARTITION BY name, line) AS told FROM incoming"
    " WHERE line IS NOT NULL)",
)

TAKE_IN = (
    "INSERT OR IGNORE INTO identity(name) SELECT DISTINCT name FROM named ORDER BY name",
    "INSERT OR IGNORE INTO spot(target, place, probe) SELECT DISTINCT target, place, probe FROM incoming ORDER BY 1, 2",
    "INSERT INTO observation SELECT i.id, f.id, s.id, n.strength, :run, :run FROM named n"
    " JOIN identity i ON i.name = n.name JOIN fact f ON f.digest = n.fact"
    " JOIN spot s ON s.target = n.target AND s.place = n.place AND s.probe = n.probe WHERE true"
    " ON CONFLICT DO UPDATE SET last_run = excluded.last_run",
    "DELETE FROM incoming",
)
