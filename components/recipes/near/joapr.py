"""What JoAPR (CVPR 2024) adds to splitting: an adaptive threshold, and weights by the student's own confidence.

After its published code, with three faults mended: the crossing uses standard deviations (there: variances), all rows
are in the order of the data set (there: weights and confidences of different images are multiplied), and equal losses
do not divide by zero.
"""

import numpy as np

from components.recipes.near.split import Split


def crossing(split: Split) -> float:
    """The scaled loss between both means where the two Gaussians, each with its share, are equally dense.

    Below it the cleaner one prevails. 1 where one Gaussian was enough; where they do not cross between the means, the
    middle of them.
    """
    if split.gaussians is None:
        return 1.0
    mean, deviation, share = split.gaussians
    # log share_c - log deviation_c - (x - mean_c)^2 / (2 deviation_c^2), equal for both: a quadratic in x
    half = 1 / (2 * deviation**2)
    constant = np.log(share) - np.log(deviation) - half * mean**2
    roots = np.roots([half[1] - half[0], 2 * (half[0] * mean[0] - half[1] * mean[1]), constant[0] - constant[1]])
    between = [float(r.real) for r in roots if abs(r.imag) < 1e-9 and mean[0] <= r.real <= mean[1]]
    return between[0] if between else float(mean.mean())


def clean(split: Split, threshold: float = 0.5) -> tuple[np.ndarray, float]:
    """[N] bool, and the threshold of the next epoch.

    Clean is a loss below the crossing or a weight above the threshold; the threshold then becomes the share of images
    whose weight is not above it, and the weights are tested again.
    """
    following = float(1 - (split.weight > threshold).mean())
    return (split.scaled < crossing(split)) | (split.weight > following), following


def weights(split: Split, confidence: np.ndarray | None = None) -> np.ndarray:
    """[N] the weight of each name: its probability of being clean, after the first epoch times the student's confidence
    in it, p(s_i | x_i) [N], both in the order of the data set."""
    return split.weight if confidence is None else split.weight * confidence
