"""Contact sheet of the drawn birds: `python -m components.datasets.species --out sheet.png [--each 3] [--seed 0]`."""

import argparse

from components.datasets.species.catalogue import SPECIES
from components.datasets.species.sheet import contact_sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a contact sheet of the species world.")
    parser.add_argument("--out", required=True, help="PNG file to write")
    parser.add_argument("--each", type=int, default=3, help="pictures of each species")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    contact_sheet(SPECIES, args.each, seed=args.seed).save(args.out)


if __name__ == "__main__":
    main()
