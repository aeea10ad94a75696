"""A Chatwoot account and a Dify server in one process, for demos and tests."""
