"""Mutation testing: the share of changed lines that the tests notice."""
