"""Scores an open world of the largest public size, and says what memory and time that took.

    python -m benchmarks.open_world [--images 5098] [--attributes 413] [--objects 674] [--folder FOLDER]

Random scores of that shape are written to FOLDER (5.7 GB; a temporary one by default) with a tenth as many validation
images, and scored by `foveate evaluate composition`'s function in a process of its own. Memory is given as a share of
the file, time as a share of what merely reading the file takes in the same run.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

SCORE = """
import sys, time
from pathlib import Path
from components.pipeline.composition import score_file
start = time.perf_counter()
report = score_file(Path(sys.argv[1]), Path(sys.argv[2]), mode="exact", world="open", top_k=1,
                    validation=Path(sys.argv[3]))
print(time.perf_counter() - start, report["auc"], report["feasibility"]["threshold"])
"""


def write_scores(path: Path, labels: np.ndarray, pairs: int, seed: int) -> None:
    """Random scores [N, pairs], written row by row, in which the true pair stands out a little."""
    rng = np.random.default_rng(seed)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(labels), pairs)}
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        with archive.open("labels.npy", "w") as stream:
            npy.write_array(stream, labels, allow_pickle=False)
        with archive.open("scores.npy", "w", force_zip64=True) as stream:
            npy.write_array_header_1_0(stream, header)
            for label in labels:
                row = rng.random(pairs, np.float32)
                row[label] += 0.5
                stream.write(row.tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("images", 5098), ("attributes", 413), ("objects", 674), ("seen", 5592)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, pairs, rng = Path(name), options.attributes * options.objects, np.random.default_rng(0)
        seen = np.isin(np.arange(pairs), rng.choice(pairs, options.seen, replace=False))
        usual = np.concatenate([np.flatnonzero(seen)[:800], np.flatnonzero(~seen)[:800]])
        feasibility = np.where(np.isin(np.arange(pairs), usual), 0.3, 0) + rng.random(pairs) * 0.7
        (folder / "pairs.json").write_text(json.dumps({
            "pairs": [[a, o] for a in range(options.attributes) for o in range(options.objects)],
            "seen": seen.tolist(), "feasibility": feasibility.tolist()}))
        for seed, (file, count) in enumerate((("test", options.images), ("validation", options.images // 10))):
            write_scores(folder / f"{file}.npz", rng.choice(usual, count), pairs, seed)
        start = time.perf_counter()
        with open(folder / "test.npz", "rb") as stream:
            while stream.read(1 << 24):
                pass
        reading = time.perf_counter() - start
        files = [str(folder / f) for f in ("test.npz", "pairs.json", "validation.npz")]
        done = subprocess.run([sys.executable, "-c", SCORE, *files], capture_output=True, text=True, check=True)
        took, auc, threshold = map(float, done.stdout.split())
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        size = (folder / "test.npz").stat().st_size
    print(f"{options.images:,} images x {pairs:,} pairs: a file of {size / 1e9:.2f} GB")
    print(f"peak memory of the process {peak / 1e9:.2f} GB, {100 * peak / size:.0f} % of the file")
    print(f"scored in {took / reading:.1f} times what reading the file took; AUC {auc:.4f}, threshold {threshold:.4f}")


if __name__ == "__main__":
    main()
