"""The ledger of a user: what executions spent and hold, the limits they share, and the breakers."""
