"""One pure function over many chunks: inline, in a pool of processes or on a Ray cluster, with the same results."""
