"""Where the framework meets a server: one gateway for each protocol, and what lies between."""
