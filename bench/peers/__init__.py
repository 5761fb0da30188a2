"""What this project is measured against. Each is a lab program (see `bench.kme_lab`) of our own around a peer.

A peer key management entity is not part of this repository: `KEYSTRAND_BENCH_PEERS` names a folder in which each
sub-folder is one that was prepared beforehand, with an executable `start` that has a lab program's manners.

Peers of the quantum layer are installed (`packages`) or built from source (`sources`) into a cache folder; what is
here are our own small programs around them.
"""
