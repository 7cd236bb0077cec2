"""How often drift is cried without cause, and how soon with one, on drawn scenes; re-makes docs/results/drift.md.

    python -m benchmarks.drift --bundle FOLDER [--images 1200] [--times 2000] [--shifted 40] [--out docs/results]

A pool of scenes is drawn and answered by the bundle once. Each time, a reference and a window are drawn from it by
chance: from the same scenes (an unchanged stream), or the window with a share of scenes of another kind: places or
verbs that the reference has none of, or the same scenes in another style. Every time has its own seed.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance, ImageFilter
from scipy.stats import binomtest

from components.base.artifacts import write_bytes, write_json
from components.datasets.draw import scene_seed
from components.datasets.images import load_image
from components.datasets.scenes import lexicon, world
from components.monitoring import drift, log
from components.serving.predictor import Predictor

PLACES = ("mountain", "ocean", "stage", "swimming pool")
REFERENCE, WINDOWS, SHARES = 400, (100, 300), (0.1, 0.25, 0.5, 1.0)
SEED = 77


def night(image: Image.Image) -> Image.Image:
    """Dark and blue."""
    return Image.merge("RGB", [band.point(lambda v, by=by: int(v * by))
                               for band, by in zip(image.split(), (0.3, 0.35, 0.5), strict=True)])


STYLES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "at night": night,
    "in grey": lambda image: image.convert("L").convert("RGB"),
    "out of focus": lambda image: image.filter(ImageFilter.GaussianBlur(2.5)),
    "a little darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--times", type=int, default=2000, help="looks at an unchanged stream, for each window")
    parser.add_argument("--shifted", type=int, default=40, help="looks at each of the others")
    parser.add_argument("--permutations", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    verbs = sorted([*lexicon.SEEN, *lexicon.UNSEEN])
    chance = np.random.default_rng(SEED)
    drawn = [str(v) for v in chance.choice(verbs, options.images)]
    scenes = [world.draw(v, scene_seed(SEED, v, i)) for i, v in enumerate(drawn)]
    images = [s.image for s in scenes]
    kinds = kinds_of(scenes, drawn)
    pool = {"as drawn": answer(options.bundle, images)}
    for name, style in STYLES.items():
        pool[name] = answer(options.bundle, [np.asarray(style(Image.fromarray(i))) for i in images[:len(images) // 2]])
    settings = drift.Settings(permutations=options.permutations)
    rows = [one for window in WINDOWS for one in trials(pool, kinds, window, options.times, options.shifted, settings)]
    options.out.mkdir(parents=True, exist_ok=True)
    told = {"images": options.images, "times": options.times, "reference": REFERENCE, "alpha": settings.alpha,
            "permutations": settings.permutations, "rows": rows}
    write_json(options.out / "drift.json", told)
    write_bytes(options.out / "drift.md", report(told).encode())
    print(report(told))


def kinds_of(scenes: Sequence[world.Scene], verbs: Sequence[str]) -> dict[str, np.ndarray]:
    """{kind: which scenes are of it, bool [N]}."""
    places = [lexicon.NOUNS[s.parts["nouns"]["place"]].name for s in scenes]
    return {"new places": np.isin(places, PLACES), "new verbs": np.isin(verbs, lexicon.UNSEEN)}


def answer(bundle: Path, images: Sequence[np.ndarray]) -> pa.Table:
    """What the bundle sees and says, as rows of the log. Decoded from JPEG, as a camera's images are."""
    tables: list[pa.Table] = []
    predictor = Predictor(bundle, threads=1, observe=lambda _, seen, found: tables.append(log.rows(seen, found)))
    for start in range(0, len(images), 64):
        predictor.predict([load_image(world.encode(i), "scene") for i in images[start:start + 64]], top=1)
    return pa.concat_tables(tables)


def trials(pool: dict[str, pa.Table], kinds: dict[str, np.ndarray], window: int, times: int, shifted: int,
           settings: drift.Settings) -> list[dict]:
    """Alarms by stream: unchanged `times` times, every shift `shifted` times."""
    plain, out = pool["as drawn"], []
    everything = np.arange(len(plain))
    half = everything < len(plain) // 2

    def run(name: str, share: float, usual: np.ndarray, strange: pa.Table, where: np.ndarray, count: int) -> None:
        alarms, by = 0, dict.fromkeys(drift.NAMES, 0)
        for seed in range(count):
            rng = np.random.default_rng([seed, window, int(100 * share)])
            other = int(round(share * window))
            same = rng.permutation(usual)[:REFERENCE + window - other]
            new = strange.take(rng.permutation(where)[:other])
            found = drift.look(plain.take(same[:REFERENCE]), pa.concat_tables([plain.take(same[REFERENCE:]), new]),
                               drift.Settings(settings.alpha, window, settings.least, settings.permutations, seed))
            alarms += found.verdict == "drift"
            for test in found.tests:
                by[test.name] += test.drift
        low, high = binomtest(alarms, count).proportion_ci(method="exact")
        out.append({"stream": name, "share": share, "window": window, "times": count, "alarms": alarms,
                    "low": low, "high": high, "by": by})
        print(json.dumps(out[-1]), flush=True)

    run("unchanged", 0.0, everything, plain, everything[:0], times)
    for kind, mask in kinds.items():
        for share in SHARES:
            run(kind, share, everything[~mask], plain, everything[mask], shifted)
    for style in STYLES:
        for share in SHARES:
            run(style, share, everything[~half], pool[style], np.arange(len(pool[style])), shifted)
    return out


def report(told: dict) -> str:
    """The table as Markdown."""
    lines = ["# Drift on drawn scenes", "",
             f"Made by `python -m benchmarks.drift`: {told['images']:,} scenes, answered once by an exported student; "
             f"each time a reference of {told['reference']} and a window are drawn from them by chance. Alarm level "
             f"{told['alpha']:g} for each look, over four tests together; {told['permutations']} permutations. "
             "“Share” is how much of the window is of the new kind; in brackets the 95 % interval (Clopper-Pearson).",
             "", "| stream | share | window | alarms | by what it sees | answers | sureness | boxes |",
             "|---|---|---|---|---|---|---|---|"]
    for row in told["rows"]:
        by = " | ".join(f"{100 * n / row['times']:.1f} %" for n in row["by"].values())
        lines.append(f"| {row['stream']} | {100 * row['share']:.0f} % | {row['window']} | {row['alarms']} of "
                     f"{row['times']}: {100 * row['alarms'] / row['times']:.1f} % ({100 * row['low']:.1f} to "
                     f"{100 * row['high']:.1f}) | {by} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
