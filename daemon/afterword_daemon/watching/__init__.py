"""What the user saves: a process of its own that watches folders, reads, and tells the daemon.

Whatever hangs, dies or takes gigabytes here never delays a key. The watcher is a hint, the scan
is the truth: nothing is right only because an event arrived.
"""
