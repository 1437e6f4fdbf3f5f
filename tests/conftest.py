"""What holds for every test."""

import signal

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would
# inherit that; some of it is tested by interrupting it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
