"""Models as they are served: graphs in int8."""

from pathlib import Path

from decant.compression.quantize import quantize_int8
from decant.models.export import export_onnx
from decant.models.recommender import Recommender


def exported(model: Recommender, path: Path) -> int:
    """Write the model's int8 graph; its bytes."""
    whole = path.with_suffix(".float.onnx")
    export_onnx(model, whole)
    quantize_int8(whole, path)
    whole.unlink()
    return path.stat().st_size
