"""The figures of this project, measured: ``bin/bench --help`` lists them."""
