"""What the rehearsal of a deployment stands on: an emulated AWS, and the ways into what was deployed."""
