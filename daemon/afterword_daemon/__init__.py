"""The daemon: the process that holds the model, the wire to it, and the answer at the cursor."""
