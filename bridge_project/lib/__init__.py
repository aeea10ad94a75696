"""The lowest layer: knows no app, no model and neither platform."""
