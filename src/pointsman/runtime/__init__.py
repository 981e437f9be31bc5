"""Where packages run: in this process; later also in worker processes."""
