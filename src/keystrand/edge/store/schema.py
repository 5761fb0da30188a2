"""The tables of a key store, in the SQL that SQLite and PostgreSQL share.

No table holds key material in the clear: `sealed` columns are AES-256-GCM under the data key of `epoch`, which is not
in the database. Every row that waits for something has a deadline, `until` (seconds since the epoch): what becomes of
it then is the sweep's work, so a store can run for ever. `{clustered}` stands for what keeps rows in the order of their
primary key, where the database has such a thing.
"""

FORMAT = "5"

TABLES = (
    "CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # one row a writing process: what it committed last, and the number that fences it off. `tail`: the records of the
    # commit `audited`, the latest that had any; `audit_seq` and `audit_head`: where the audit ended before them
    "CREATE TABLE IF NOT EXISTS head(writer TEXT PRIMARY KEY, fence BIGINT NOT NULL, generation BIGINT NOT NULL,"
    " audited BIGINT NOT NULL, audit_seq BIGINT NOT NULL, audit_head TEXT NOT NULL, tail TEXT NOT NULL,"
    " beat DOUBLE PRECISION NOT NULL)",
    # one row a run of a writing process: it found the generation `begun`, at which the run before it had ended
    "CREATE TABLE IF NOT EXISTS run(writer TEXT NOT NULL, begun BIGINT NOT NULL, start TEXT NOT NULL,"
    " PRIMARY KEY(writer, begun)){clustered}",
    # what this KME has seen of its peers' stores
    "CREATE TABLE IF NOT EXISTS witness(kme TEXT NOT NULL, store TEXT NOT NULL, writer TEXT NOT NULL,"
    " start TEXT NOT NULL, begun BIGINT NOT NULL, generation BIGINT NOT NULL, proof TEXT NOT NULL,"
    " PRIMARY KEY(kme, writer))",
    # and of the stores that they had before
    "CREATE TABLE IF NOT EXISTS retired(kme TEXT NOT NULL, no BIGINT NOT NULL, store TEXT NOT NULL,"
    " writer TEXT NOT NULL, start TEXT NOT NULL, begun BIGINT NOT NULL, generation BIGINT NOT NULL,"
    " proof TEXT NOT NULL, PRIMARY KEY(kme, store, writer))",
    "CREATE TABLE IF NOT EXISTS pool(id BIGINT PRIMARY KEY, link TEXT NOT NULL, source TEXT NOT NULL,"
    " master TEXT NOT NULL, next_no BIGINT NOT NULL, stored BIGINT NOT NULL DEFAULT 0,"
    " held BIGINT NOT NULL DEFAULT 0, blocks BIGINT NOT NULL DEFAULT 0, UNIQUE(link, source, master))",
    # `spent`: something that it sealed was used since, so nothing may stay under it
    "CREATE TABLE IF NOT EXISTS epoch(no BIGINT PRIMARY KEY, writer TEXT NOT NULL, closed BIGINT NOT NULL,"
    " spent BIGINT NOT NULL DEFAULT 0)",
    # with their sums in `pool`: `stored` bytes to use, `held` that count against its limit, and how many `blocks`;
    # `no` is given by the master KME; a block of which both ends know that they hold the same is `ready`; until then
    # its deadline is that of its confirmation
    "CREATE TABLE IF NOT EXISTS block(block_id TEXT PRIMARY KEY, pool BIGINT NOT NULL, no BIGINT,"
    " length BIGINT NOT NULL, cursor BIGINT NOT NULL, ready BIGINT NOT NULL, owner TEXT, epoch BIGINT NOT NULL,"
    " qber DOUBLE PRECISION NOT NULL, label TEXT NOT NULL, received DOUBLE PRECISION NOT NULL,"
    " until DOUBLE PRECISION NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS block_no ON block(pool, no)",
    "CREATE INDEX IF NOT EXISTS block_fresh ON block(block_id) WHERE ready = 0",
    "CREATE INDEX IF NOT EXISTS block_epoch ON block(epoch)",
    "CREATE INDEX IF NOT EXISTS block_until ON block(until)",
    "CREATE TABLE IF NOT EXISTS block_seal(block_id TEXT PRIMARY KEY, sealed BYTEA NOT NULL)",
    # blocks that were here: a source that repeats itself brings no key twice
    "CREATE TABLE IF NOT EXISTS block_seen(block_id TEXT NOT NULL, link TEXT NOT NULL,"
    " until DOUBLE PRECISION NOT NULL, PRIMARY KEY(block_id, link))",
    "CREATE INDEX IF NOT EXISTS block_seen_until ON block_seen(until)",
    # what one SAE of this KME holds of one order of keys, as its master or as a slave; `suspended_by`: the KME that
    # suspended it, empty for this one; `again`: until when an answer with keys of it may be repeated;
    # `cleared`: of those in `taken`, whose material is gone from `sealed`
    "CREATE TABLE IF NOT EXISTS holding(order_id TEXT NOT NULL, sae TEXT NOT NULL, role TEXT NOT NULL,"
    " partner TEXT NOT NULL, kme TEXT NOT NULL, link TEXT NOT NULL, size BIGINT NOT NULL, count BIGINT NOT NULL,"
    " state TEXT NOT NULL, taken BYTEA NOT NULL, sealed BYTEA, epoch BIGINT, told TEXT NOT NULL,"
    " since DOUBLE PRECISION NOT NULL, until DOUBLE PRECISION NOT NULL,"
    " suspended_by TEXT NOT NULL DEFAULT '', again DOUBLE PRECISION NOT NULL DEFAULT 0, cleared BYTEA,"
    " PRIMARY KEY(order_id, sae)){clustered}",
    "CREATE INDEX IF NOT EXISTS holding_until ON holding(until)",
    "CREATE INDEX IF NOT EXISTS holding_epoch ON holding(epoch) WHERE sealed IS NOT NULL",
    # answers that may be repeated for a while, each under the first order it names: orders are numbered by time, so
    # answers of one moment lie on one page, which their digests alone would spread over all
    "CREATE TABLE IF NOT EXISTS replay(order_id TEXT NOT NULL, digest BYTEA NOT NULL, until DOUBLE PRECISION NOT NULL,"
    " PRIMARY KEY(order_id, digest)){clustered}",
    "CREATE INDEX IF NOT EXISTS replay_until ON replay(until)",
    # what peers must still be told
    "CREATE TABLE IF NOT EXISTS outbox(order_id TEXT NOT NULL, kme TEXT NOT NULL, event TEXT NOT NULL,"
    " until DOUBLE PRECISION NOT NULL, PRIMARY KEY(order_id, kme)){clustered}",
    "CREATE INDEX IF NOT EXISTS outbox_first ON outbox(kme, order_id) WHERE event <> 'void'",
    # orders for several KMEs that are under way: where their writer ends first, those KMEs are told that they are void
    "CREATE TABLE IF NOT EXISTS under_way(order_id TEXT NOT NULL, kme TEXT NOT NULL, writer TEXT NOT NULL,"
    " until DOUBLE PRECISION NOT NULL, PRIMARY KEY(order_id, kme)){clustered}",
    # the latest delivery to a pair of SAEs, for rotation
    "CREATE TABLE IF NOT EXISTS pair(master TEXT NOT NULL, slave TEXT NOT NULL, last DOUBLE PRECISION NOT NULL,"
    " keys BIGINT NOT NULL, due DOUBLE PRECISION NOT NULL, PRIMARY KEY(master, slave)){clustered}",
)
