"""The model as it is asked, by trainer and daemon alike.

Imports neither TensorFlow nor anything of the rest of the trainer; knows no process and no LSP.
"""
