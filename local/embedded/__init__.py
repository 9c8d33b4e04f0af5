"""The embedded AWS: the real template, its functions and its state machine in one process, on moto."""
