"""Faults put into two running KMEs - kills, lost power, failing disks and networks - and what must hold through them.

The invariants are judged from what the clients were answered, so nothing here depends on how a KME works inside:
no key ID and no key bytes are given out twice, both ends get the same, what was promised to a slave it can fetch, what
was fetched is not given again, and the audit tells of every key that was answered.

- `shim.c`, `shim.py`: a library loaded before a KME's others, which logs what it does to its files and can make a
  chosen step fail, stall, or be its last. Needs gcc and 64-bit Linux.
- `powercut.py`: from such a log, what a disk may hold after its power failed.
- `node.py`: one KME process: start, SIGKILL, loss of power, rules for its disk.
- `crash_load.py`: clients, the ledger of what they were answered, the invariants, and strikes at random.
- `wire.py`: a proxy for the connections between two ends, which loses, delays or cuts.
- `weak_kme.py`: the negative control: a KME with one step left out. Every proof here is run against one too.

The seam to the key management entity under test is `plant.py` with `weak_kme.py`, and nothing else. `plant.py` lays two
KMEs (their configuration, which folders hold their state, the command that starts them and writes `ready`), gives 014
clients, feeds them with keys, reads the key IDs that an audit names, and says which files hold what (`FILES`).
`weak_kme.py` is started in the place of the same command, with the names of its weaknesses in the environment; what
each patches is one step of the store (`Committer._batch`, `_stop`, the pragmas, the audit's sync, the comparison of
memories at the start).

A strike that leaves a KME that does not start counts as a finding, as a broken promise does: power loss is nobody's
attack, and must not look like one.
"""
