"""Image vectors of the demo shop, like those of an image model.

Items of one kind or style look alike, as their titles tell, and so do popular items, which titles
do not.
"""

import numpy as np

from decant.data.sources.demo.process import INTERESTS, KINDS, STYLES, Process

WIDTH = 32
NOISE = 0.5


def draw_images(process: Process, rng: np.random.Generator) -> np.ndarray:
    """Vectors float32 [N, WIDTH] of the items' images: standard normal vectors of its own, of its
    kind and of its style, its popularity along one direction, and noise, all added."""
    kinds = rng.normal(size=(INTERESTS * KINDS, WIDTH))
    styles = rng.normal(size=(STYLES, WIDTH))
    look = rng.normal(size=(process.items, WIDTH)) + kinds[process.kind] + styles[process.style]
    liked = np.log(process.popularity)
    liked = (liked - liked.mean()) / liked.std()
    look += liked[:, None] * rng.normal(size=WIDTH)
    return (look + NOISE * rng.normal(size=look.shape)).astype(np.float32)
