"""The trainer: what the model is, how it is asked, how it is made from a person's own files."""

import logging

# Whoever runs us decides where our warnings go; without this, Python prints them raw.
logging.getLogger(__name__).addHandler(logging.NullHandler())
