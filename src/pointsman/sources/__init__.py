"""Where packages come from.  One module for each kind of source."""
