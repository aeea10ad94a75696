"""HTTP in: what Dify flows call, see docs/dify-nodes.md."""
