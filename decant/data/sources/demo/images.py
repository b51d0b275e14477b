"""Image vectors of the demo shop, like those of an image model.

They carry information that titles lack: items of one chain look alike, and so do popular items.
"""

import numpy as np

from decant.data.sources.demo.process import SUCCESSOR_WEIGHTS, Process

WIDTH = 32
CHAIN = 1.0  # weight of the styles of an item's neighbours in the chains
NOISE = 0.5


def draw_images(process: Process, rng: np.random.Generator) -> np.ndarray:
    """Vectors float32 [N, WIDTH] of the items' images.

    Each item has a standard normal style, float [N, WIDTH]; its image is the sum of that style,
    the mean style of its predecessors and successors, its popularity along one direction, and
    noise.
    """
    style = rng.normal(size=(process.items, WIDTH))
    near, weight = np.zeros_like(style), np.zeros((process.items, 1))
    for after in process.successors:  # of each group of users
        for rank, share in enumerate(SUCCESSOR_WEIGHTS):
            follower = after[:, rank]
            near += share * style[follower]
            np.add.at(near, follower, share * style)
            weight += share
            np.add.at(weight, follower, share)
    liked = np.log(process.popularity)
    liked = (liked - liked.mean()) / liked.std()
    near /= weight
    look = style + CHAIN * near / near.std()
    look += liked[:, None] * rng.normal(size=WIDTH)
    return (look + NOISE * rng.normal(size=look.shape)).astype(np.float32)
