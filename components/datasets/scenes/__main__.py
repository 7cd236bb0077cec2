"""Contact sheet of the drawn world: `python -m components.datasets.scenes --out sheet.png [--verbs a,b] [--rows 2]`."""

import argparse

from .lexicon import VERBS
from .sheet import contact_sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a contact sheet of the scenes world.")
    parser.add_argument("--out", required=True, help="PNG file to write")
    parser.add_argument("--verbs", default=",".join(VERBS), help="comma-separated verbs (default: all)")
    parser.add_argument("--per-verb", type=int, default=1, help="scenes of each verb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-boxes", action="store_true")
    args = parser.parse_args()
    verbs = [verb for verb in args.verbs.split(",") for _ in range(args.per_verb)]
    contact_sheet(verbs, args.seed, not args.no_boxes).save(args.out)


if __name__ == "__main__":
    main()
