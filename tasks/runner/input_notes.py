"""Notes on configured model inputs that the data lacks."""

from decant.models.build import missing_inputs
from decant.params.models import Training
from decant.training.device import block_of
from decant.training.supervision import Material
from tasks.runner.step import Workspace


def notes_on_inputs(workspace: Workspace, settings: Training, material: Material) -> list[str]:
    """Print and return a line for each model input left out because the data lacks it."""
    missing = missing_inputs(settings, material.encoder, material.vectors)
    block = block_of(settings)
    lines = [f"{block}.inputs: `{name}` is left out: {why}" for name, why in missing.items()]
    for line in lines if not workspace.rank else ():
        print(line)
    return lines
