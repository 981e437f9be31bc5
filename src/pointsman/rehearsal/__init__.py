"""The first run of new code, in a child that may die of it.

The serving process keeps one *helper*: a warm process without threads or sockets,
so that forking it is safe and cheap.  Each rehearsal is a child forked from that:
it compiles, imports and checks under a deadline and a memory limit, and hands the
code objects back.  A syntax error, an endless loop, a hang in C, ``os._exit``, a
segmentation fault and 2 GB of allocations end there.

`client` is the serving process's end, `helper` the process in between, `child`
what runs after the fork, `wire` how they talk.  JSON and marshalled code cross the
boundary, no pickle.
"""
