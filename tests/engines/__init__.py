"""Engines of DynamoDB's protocol: fetched from package registries, started, and tested for the stores' promises."""
