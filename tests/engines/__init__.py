"""Engines that speak DynamoDB's protocol: had from package registries, started, and shown to keep the promises."""
