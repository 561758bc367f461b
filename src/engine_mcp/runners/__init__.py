"""Runners: adapters that carry out agent attempts, and what they share to start a CLI and to end it."""
