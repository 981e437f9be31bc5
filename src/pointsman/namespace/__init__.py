"""Loading code privately: a namespace per artifact, under the modules' own names.

The pieces, from the top: `space` is the table of one artifact and how it imports;
`facade` is what everybody else finds in ``sys.modules``; `imports` and `callers`
tell who is asking; `registries` keeps the process-wide lists of other libraries
clean; `unpacked` gives each version files of its own; `ownership` refuses names
that are somebody else's.

Tried with: string annotations, pickle, SQLAlchemy, pydantic, ZODB, Flask, Jinja2,
``inspect``, ``logging.config``, ``mock.patch``, two versions alive at once.
"""
