"""A ZEO server and its command, ``zeo``: start, stop, status, restart, run.  Edge.

Needs the extra ``zodb``.  The server is ZEO's own; what is ours is that its exit codes
are true, that its pid file cannot lie, and that a stop finishes what was begun.

``rendering`` writes a zeo.conf, ``configured`` reads one, ``server`` serves,
``asking`` asks whether it answers, ``background`` starts it, ``command`` is what people
type.
"""
