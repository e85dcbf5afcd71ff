"""What only the real HYPR Micro server can show. Run as `python -m tests.live`; pytest collects nothing here."""
