"""Resident memory of asking about many pictures over asking about few: what grows with the number of images.

    python -m benchmarks.teachers_memory [--few 1000] [--many 20000]

Each size is a process of its own that runs the real stage (shards, cache, records, joining) against a local server of
the OpenAI protocol, and then the quality gate. The gate reads all rationales as one table, so it is reported apart.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.chat_server import serving


def draw(folder: Path, count: int) -> tuple[str, str, str]:
    """Folders of a dataset of `count` small pictures of noise, of its splits (all are for training) and of features."""
    from components.base.artifacts import write_json
    from components.datasets.schema import Sample, sample_id
    from components.datasets.splits import SplitSpec, split_dataset
    from components.datasets.store import DatasetWriter

    with DatasetWriter(folder / "dataset", "noise") as out:
        for number in range(count):
            pixels, stream = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8), io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            image, phash = stream.getvalue(), hashlib.sha256(str(number).encode()).hexdigest()[:16]
            out.add(Sample(sample_id(image), f"{number}.png", image, 32, 32, phash, "noise"))
    split_dataset(folder / "dataset", folder / "splits", SplitSpec(0, dev=0.0, test=0.0))
    (folder / "features").mkdir()
    write_json(folder / "features" / "index.json", {"revision": "none", "block": 1, "blocks": []})
    return tuple(str(folder / name) for name in ("dataset", "splits", "features"))


def measure(count: int, spec: str, folder: Path) -> None:
    """Runs the stage here and prints what it held at most, in MiB: after asking, and after the gate."""
    from components.pipeline import rationales
    from components.pipeline.plan import make
    from components.registry import tracking

    made, plan = draw(folder, count), make(teacher=spec)
    with tracking.run("memory") as run:
        parts = [rationales.ask_shard(plan, run.id, *made, first) for first in rationales.shards(*made[:2])]
        said = rationales.collect(plan, run.id, *made, parts)
        asked = _peak()
        rationales.validate(plan, run.id, made[0], said)
    print(json.dumps({"asked": asked, "gate": _peak()}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(count: int, spec: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"FOVEATE_HOME": str(Path(folder) / "home")}
        environment.pop("MLFLOW_TRACKING_URI", None)
        done = subprocess.run([sys.executable, "-m", "benchmarks.teachers_memory", "--child", str(count), spec, folder],
                              env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--few", type=int, default=1000)
    options.add_argument("--many", type=int, default=20_000)
    options.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        measure(int(given.child[0]), given.child[1], Path(given.child[2]))
        return
    with serving(latency=0.0) as server:
        few, many = (child(count, server.spec) for count in (given.few, given.many))
    for name, words in (("asked", "asking"), ("gate", "asking and the quality gate")):
        print(f"{words}: {many[name]:,.0f} MiB at {given.many:,} images over {few[name]:,.0f} MiB at {given.few:,}: "
              f"{many[name] / few[name]:.3f}" + ("   (target: at most 1.1)" if name == "asked" else ""))


if __name__ == "__main__":
    main()
