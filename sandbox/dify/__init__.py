"""The Dify half of the sandbox."""
