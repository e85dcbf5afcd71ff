"""Maintenance of a deployment, from a checkout: `python -m maintain --help`."""
