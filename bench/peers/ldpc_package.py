"""`ldpc_package.py FOLDER CHECKS BITS FRAMES ITERATIONS`: run by a Python that has the peer `ldpc`.

Decodes the frames that the benchmark wrote into the folder and prints one JSON object. Only decoding is timed.
"""

import importlib
import json
import sys
import time
from pathlib import Path


def decoded(folder: Path, checks: int, bits: int, frames: int, iterations: int) -> dict[str, float]:
    """Decode by belief propagation, the sum-product rule."""
    numpy, sparse = importlib.import_module("numpy"), importlib.import_module("scipy.sparse")
    starts, rows = numpy.fromfile(folder / "starts", numpy.uint32), numpy.fromfile(folder / "rows", numpy.uint32)
    ones = numpy.ones(rows.size, dtype=numpy.uint8)
    matrix = sparse.csc_matrix((ones, rows.astype(numpy.int32), starts.astype(numpy.int32)), shape=(checks, bits))
    priors = 1.0 / (1.0 + numpy.exp(numpy.fromfile(folder / "ratios", numpy.float64)))
    syndromes = numpy.fromfile(folder / "syndromes", numpy.uint8).reshape(frames, checks)
    patterns = numpy.fromfile(folder / "patterns", numpy.uint8).reshape(frames, bits)
    decoder = importlib.import_module("ldpc").BpDecoder(
        matrix.tocsr(), error_channel=priors.tolist(), max_iter=iterations, bp_method="product_sum",
        input_vector_type="syndrome",
    )  # fmt: skip
    seconds, wrong = 0.0, 0
    for syndrome, pattern in zip(syndromes, patterns, strict=True):
        begin = time.process_time()
        found = decoder.decode(syndrome)
        seconds += time.process_time() - begin
        wrong += not (decoder.converge and numpy.array_equal(found, pattern))
    return {"seconds": seconds, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(decoded(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:]))))
