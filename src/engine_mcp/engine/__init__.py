"""The engine: one driver for each execution, the gate of its scripts, and the door to all of them."""
