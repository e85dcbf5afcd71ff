"""The Model Context Protocol as a server of tools, without a session: from a message to the body of its answer."""
