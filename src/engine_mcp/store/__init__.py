"""The record: journals, snapshots, artifacts, leases and the index of the executions of a project."""
