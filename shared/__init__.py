"""Code that the functions share: the domain, the store port and its adapters, and the web frame."""

VERSION = "0.1.0"
