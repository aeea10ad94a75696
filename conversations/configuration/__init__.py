"""The configuration as a whole: its history, and its way to another bridge."""
