"""Everything that runs the bridge on one machine: no Docker, no root needed.

`python -m local_stack run` is `make run`. Nothing of the project is imported here,
and only tests import this package: it starts processes and watches them.
"""
