"""The trainer: what the model is, how it is asked, how it is made from a person's own files."""
