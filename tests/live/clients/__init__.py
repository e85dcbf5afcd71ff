"""The published SDKs of the predecessor, unmodified, against `make run`."""
