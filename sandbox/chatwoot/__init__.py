"""The Chatwoot half of the sandbox."""
