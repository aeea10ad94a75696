"""All that knows Chatwoot's wire format, and nothing of our flow."""
