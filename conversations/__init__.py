"""The flow: event, decision, turn, run, answer."""
