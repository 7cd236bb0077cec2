"""Times the situation scorer on a full test set of random predictions against an evaluator that goes image by image.

    python -m benchmarks.situation [--images 25200] [--bootstrap 0]

Both read the same files, in this one run, and must agree; the ratio of their times is what counts. Ours runs as users
run it, in a process of its own (so its start counts too), and computes both conventions under all averages; the other
does no more than both conventions, averaged over images.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

COMMAND = "from flows.cli import main; main()"
ROLES = (1, 2, 3, 3, 4, 4, 4, 5, 6)  # of a verb, about as often as in imSitu
NOUNS, VERBS, SIDE = 10_000, 504, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=25_200)
    parser.add_argument("--bootstrap", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), options.images)
        size = sum(f.stat().st_size for f in files.values()) / 1e6
        print(f"{options.images:,} images, {size:.0f} MB of JSON")
        out = Path(folder) / "scores.json"
        ours, ours_cpu = timed(lambda: run(files, out, options.bootstrap))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        begin = time.process_time()
        expected = {}
        slow, _ = timed(lambda: expected.update(by_image(files)))
        slow_cpu = time.process_time() - begin
        compare(json.loads(out.read_text()), expected)
        print(f"ours, all settings     {ours:6.2f} s, {ours_cpu:6.2f} s of processor, {peak:.0f} MB at most")
        print(f"image by image         {slow:6.2f} s, {slow_cpu:6.2f} s of processor")
        print(f"ratio                  {slow / ours:6.1f}, {slow_cpu / ours_cpu:6.1f} of processor time; numbers agree")


def timed(work) -> tuple[float, float]:
    """Seconds by the clock, and seconds of processor time of child processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    work()
    spent = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(files: dict[str, Path], out: Path, bootstrap: int) -> None:
    arguments = [x for key, path in files.items() for x in (f"--{key}", str(path))]
    subprocess.run([sys.executable, "-c", COMMAND, "evaluate", "situation", *arguments, "--json", str(out),
                    "--bootstrap", str(bootstrap)], check=True, stdout=subprocess.DEVNULL)


def compare(report: dict, expected: dict[str, np.ndarray]) -> None:
    for setting in report["settings"]:
        if setting["average"] == "image":
            numbers = list(setting["groups"]["all"].values())[:14]
            np.testing.assert_allclose(numbers, expected[setting["convention"]], atol=1e-9)


def write(folder: Path, images: int) -> dict[str, Path]:
    """Random annotations, predictions and a lexicon, of the size of SWiG's."""
    rng = np.random.default_rng(0)
    nouns = [f"n{i:08d}" for i in range(NOUNS)]
    order = {f"verb{v}": [f"role{r}" for r in range(int(rng.choice(ROLES)))] for v in range(VERBS)}
    names = list(order)
    truth = {}
    with open(folder / "predictions.jsonl", "w") as stream:
        for i in range(images):
            verb = names[i % VERBS]
            image, said = f"{verb}_{i}.jpg", [nouns[k] for k in rng.integers(0, NOUNS, 6)]
            boxes = [_box(rng) for _ in order[verb]]
            truth[image] = {"verb": verb, "width": SIDE, "height": SIDE,
                            "bb": {r: b if rng.random() < 0.7 else [-1] * 4 for r, b in zip(order[verb], boxes,
                                                                                         strict=True)},
                            "frames": [{r: said[rng.integers(3)] for r in order[verb]} for _ in range(3)]}
            ranked = [names[k] for k in rng.choice(VERBS, 5, replace=False)]
            if verb not in ranked and rng.random() < 0.6:
                ranked[rng.integers(5)] = verb
            frames = {v: {r: {"noun": said[rng.integers(5)], "box": _near(rng, boxes[j % len(boxes)])}
                          for j, r in enumerate(order[v])} for v in dict.fromkeys([*ranked, verb])}
            stream.write(json.dumps({"image": image, "verbs": ranked, "frames": frames}) + "\n")
    (folder / "annotations.json").write_text(json.dumps(truth))
    space = {"nouns": {n: {"gloss": [n], "def": ""} for n in nouns},
             "verbs": {v: {"order": r, "roles": {x: {} for x in r}} for v, r in order.items()}}
    (folder / "space.json").write_text(json.dumps(space))
    return {"predictions": folder / "predictions.jsonl", "annotations": folder / "annotations.json",
            "space": folder / "space.json"}


def _box(rng: np.random.Generator) -> list[int]:
    x, y = rng.integers(0, SIDE - 32, 2)
    return [int(x), int(y), int(rng.integers(x + 16, SIDE)), int(rng.integers(y + 16, SIDE))]


def _near(rng: np.random.Generator, box: list[int]) -> list[float] | None:
    if rng.random() < 0.25:
        return None
    x1, y1, x2, y2 = (np.array(box) + rng.normal(0, 25, 4)).round(1)
    return [float(min(x1, x2)), float(min(y1, y2)), float(max(x1, x2)), float(max(y1, y2))]


def by_image(files: dict[str, Path]) -> dict[str, np.ndarray]:
    """Per convention the 14 numbers over images, by plain Python that scores one role after another."""
    truth, space = (json.loads(files[key].read_text()) for key in ("annotations", "space"))
    sums = {convention: np.zeros(14) for convention in ("jsl", "coformer")}
    count = 0
    with open(files["predictions"]) as stream:
        for line in stream:
            prediction = json.loads(line)
            entry = truth[prediction["image"]]
            for convention, total in sums.items():
                total += _image(prediction, entry, space["verbs"][entry["verb"]]["order"], convention)
            count += 1
    return {convention: total / count for convention, total in sums.items()}


def _image(prediction: dict, entry: dict, order: list[str], convention: str) -> np.ndarray:
    right, placed = [], []
    for role in order:
        guess, place = prediction["frames"][entry["verb"]][role], entry["bb"][role]
        right.append(guess["noun"] in [frame[role] for frame in entry["frames"]])
        there = guess["box"] is not None
        if place[0] == -1:
            placed.append(right[-1] and not there)
        else:
            placed.append(right[-1] and there and _match(guess["box"], place, entry, convention))
    frame = [sum(right) / len(order), float(all(right)), sum(placed) / len(order), float(all(placed))]
    out = []
    for k in (1, 5):
        hit = float(entry["verb"] in prediction["verbs"][:k])
        out += [hit, *(hit * value for value in frame)]
    return np.array(out + frame)


def _match(box: list[float], true: list[int], entry: dict, convention: str) -> bool:
    if convention == "jsl":
        box, end, floor = [max(v, 0) for v in box], 1, 0.0
    else:
        limit = (entry["width"], entry["height"]) * 2
        box, end, floor = [min(max(v, 0), most) for v, most in zip(box, limit, strict=True)], 0, 1e-4
    w = max(min(box[2], true[2]) - max(box[0], true[0]) + end, 0)
    h = max(min(box[3], true[3]) - max(box[1], true[1]) + end, 0)
    areas = [(b[2] - b[0] + end) * (b[3] - b[1] + end) for b in (box, true)]
    overlap = w * h / max(sum(areas) - w * h, floor)
    return overlap > 0.5 if convention == "jsl" else overlap >= 0.5


if __name__ == "__main__":
    main()
