"""The recipes of zc.buildout: what ``recipe = pointsman:NAME`` can be.  Edges.

``tree`` makes a release, ``config`` renders the files of its etc/, ``zeo`` runs a ZEO
server.  zc.buildout and zc.recipe.egg come with whoever runs buildout; nothing else of
this package imports them.
"""
