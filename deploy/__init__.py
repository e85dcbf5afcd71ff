"""From the source to functions that serve: the bundle, its checks, and a rehearsal of the deployment."""
