"""Where a base model is made: the room of `trainer pretrain`, which no other command enters.

A base knows language before it meets its user. Data walks through the room in one direction:

    manifest     a TOML file: which texts, how often each is read, under which licence
    sources      what it names, found: archives, folders, installed packages; documents out
    overlap      which of them share a passage with a text that must stay unseen
    mixture      the others on disk: as symbols, in pieces, in random order, once for each run
    pretrain     the job itself: train on that, export, score, write down where it comes from
      portable     the same training on another backend of Keras
      workers      the same training on several machines
    card         a base model's origins and scores, as Markdown
    pack         a base model into `base/`, from where it ships: `python -m ...pretraining.pack`

The room uses what lies outside it (`corpus` to read a folder, `run` and `training` to train, the
formats of `model`); nothing outside uses the room but its command. It writes in a folder of its
own below the runs, in the folder that --out names, and, from a checkout, in `base/`.

    PretrainingError    a sentence for the user: what cannot be used, and what to do
"""


class PretrainingError(Exception):
    """A base model cannot be made of this: a manifest, a text, an option, a model to begin with."""
