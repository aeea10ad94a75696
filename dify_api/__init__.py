"""Everything that knows Dify's wire format, and nothing of our flow."""
