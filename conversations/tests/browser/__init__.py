"""The admin in a real browser, on the whole stack as `make run` starts it."""
