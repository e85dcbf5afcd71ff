"""Request and answer models that several functions share."""
