"""One file for each framework, which exports one ``Convention``: arguments in, integers out, and back. No JAX."""
