import numpy as np

from decant.data.sources.demo.images import WIDTH, draw_images
from decant.data.sources.demo.process import draw_process


def test_items_of_one_kind_or_style_look_alike_and_popular_ones_too() -> None:
    process = draw_process(200, np.random.default_rng(1))
    images = draw_images(process, np.random.default_rng(2))
    assert (images.shape, images.dtype) == ((200, WIDTH), np.float32)
    centred = images - images.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    alike = unit @ unit.T
    other = ~np.eye(200, dtype=bool)
    for trait in (process.kind, process.style):
        same = trait[:, None] == trait
        assert alike[same & other].mean() > alike[~same].mean() + 0.1
    liked = np.log(process.popularity)
    direction = np.linalg.lstsq(centred, liked - liked.mean(), rcond=None)[0]
    assert np.corrcoef(centred @ direction, liked)[0, 1] > 0.7
