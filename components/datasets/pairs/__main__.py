"""Contact sheet of the drawn pairs: `python -m components.datasets.pairs --out sheet.jpg [--seed 0]`."""

import argparse

from components.datasets.pairs.sheet import contact_sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a contact sheet of the world of pairs.")
    parser.add_argument("--out", required=True, help="image file to write")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    contact_sheet(args.seed).save(args.out, quality=86)


if __name__ == "__main__":
    main()
