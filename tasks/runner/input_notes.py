"""Notes on the inputs of a model that the data lacks."""

from decant.models.build import missing_inputs
from decant.params.models import Training
from decant.training.device import block_of
from decant.training.supervision import Material
from tasks.runner.step import Workspace


def notes_on_inputs(workspace: Workspace, settings: Training, material: Material) -> list[str]:
    """A line for each input that is left out because the data lacks it; printed too."""
    missing = missing_inputs(settings, material.encoder, material.vectors)
    block = block_of(settings)
    lines = [f"{block}.inputs: `{name}` is left out: {why}" for name, why in missing.items()]
    for line in lines if not workspace.rank else ():
        print(line)
    return lines
