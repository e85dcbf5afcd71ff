"""Maintenance of a deployment, from a checkout: `python -m tools.maintain --help`."""
