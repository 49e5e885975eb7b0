"""Boxes for untrusted programs: containers, and WebAssembly where there is no engine."""
