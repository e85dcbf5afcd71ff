"""What the functions share: the domain, the store port and its adapters, and the frame they are served in."""

VERSION = "0.1.0"
