"""An ONNX graph, checked and ready to score; imports neither torch nor pandas."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

from decant.models import bundle
from decant.runtime.graph_check import check_graph

ATTRIBUTES = "attributes"


class Model:
    """An ONNX graph, ready to score."""

    def __init__(self, graph: Path | bytes, threads: int = 1, *, tried: bool = False) -> None:
        """Load a graph from a file or from its bytes.

        Args:
            tried: whether a child process has already checked and run the same bytes.

        Raises:
            BundleError: the graph is not allowed, or cannot be loaded.
        """
        # loaded from bytes: the file may be replaced or removed while the model serves
        content = graph if isinstance(graph, bytes) else graph.read_bytes()
        where = "" if isinstance(graph, bytes) else f"{graph}: "
        try:
            if not tried:
                check_graph(content)
            self.session = ort.InferenceSession(
                content, session_options(threads), providers=["CPUExecutionProvider"]
            )
            length = self.session.get_modelmeta().custom_metadata_map.get(bundle.MAX_LENGTH)
        except bundle.BundleError as error:
            raise bundle.BundleError(f"{where}{error}") from None
        except Exception as error:  # the runtime's own errors have no common base
            problem = " ".join(str(error).split())
            raise bundle.BundleError(f"{where}not a valid model: {problem}") from error
        self.inputs = tuple(i.name for i in self.session.get_inputs())
        self.max_length = None if length is None else int(length)

    def scores(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Scores of every item, float32 [B, N + 1].

        `batch` may contain further inputs, and older events than the model reads.
        """
        read = {name: batch[name] for name in self.inputs}
        if self.max_length is not None:
            for name in read.keys() - {ATTRIBUTES}:
                read[name] = read[name][:, -self.max_length :]
        return np.asarray(self.session.run(None, read)[0])


def session_options(threads: int) -> ort.SessionOptions:
    """Runtime options; features that our graphs do not use are disabled."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # bytes in another format would bypass the check of the graph
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.allow_released_opsets_only", "1")
    return options
