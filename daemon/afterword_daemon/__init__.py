"""The daemon: will hold the model, watch folders and answer requests. Not built yet."""
