"""The breaking suite: starts the real stack, breaks it, counts what customers saw.

`python -m chaos`, or `make chaos`. Nothing of the bridge is imported: what it did is
read from the sandbox over HTTP and from PostgreSQL by SQL.
"""
