"""The demo shop's images, as the vectors that an image model would give.

They hold what no title says: items of one chain look alike, and popular items look good.
"""

import numpy as np

from decant.data.sources.demo.process import SUCCESSOR_WEIGHTS, Process

WIDTH = 32
CHAIN = 1.0  # how much of an item's look its neighbours in the chains share
NOISE = 0.5


def draw_images(process: Process, rng: np.random.Generator) -> np.ndarray:
    """Vectors float32 [N, WIDTH] of the items' images.

    Each item has a style of its own, float [N, WIDTH], standard normal; its image is that style,
    the mean style of the items that follow it or that it follows, its popularity along one
    direction, and noise.
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
