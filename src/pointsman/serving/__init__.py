"""Serving: the ``paster`` command and the waitress runner that loses no request.

Edges.  Read in this order: ``paster`` (what the words of the command line do),
``process`` (one serving process, from the ini to its end), ``runner`` and
``server`` (waitress with a complete drain), ``sockets`` (where listening sockets
come from), ``daemon``, ``reloader``, ``stopping`` and ``status`` (what other
processes do with a server).
"""
