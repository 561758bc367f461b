"""The pure core: values and rules; no await, no I/O, no clock, no randomness, no logging."""
