"""Checks that need the real HYPR Micro server. Run as `python -m tests.live`; pytest collects nothing here."""
