"""The model as it is asked, by trainer and daemon alike.

Imports neither TensorFlow nor anything of the rest of the trainer; knows no process and no LSP.
"""


class NotBuiltError(ImportError):
    """What is written in C was not compiled, or is not what lies beside it; the remedy is named."""
