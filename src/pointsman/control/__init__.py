"""The control surface: what is asked of a node over HTTP."""
