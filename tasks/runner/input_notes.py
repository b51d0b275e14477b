"""Notes on configured inputs and experts that the data lacks."""

from decant.models.build import missing_experts, missing_inputs
from decant.params.models import Training
from decant.training.device import block_of
from decant.training.supervision import Material
from tasks.runner.step import Workspace


def notes_on_inputs(workspace: Workspace, settings: Training, material: Material) -> list[str]:
    """Print and return a line for each input and expert left out because the data lacks it."""
    missing = missing_inputs(settings, material.encoder, material.vectors)
    block = block_of(settings)
    unknown = missing_experts(settings, material.encoder)
    lines = [f"{block}.inputs: `{name}` is left out: {why}" for name, why in missing.items()]
    lines += [f"{block}.experts: `{name}` is left out: {why}" for name, why in unknown.items()]
    for line in lines if not workspace.rank else ():
        print(line)
    return lines
