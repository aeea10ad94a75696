"""Numbers about what happened: rolled up by the hour, summed up for the overview."""
