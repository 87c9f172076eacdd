"""Layers as functions of PyTorch and JAX that know their own gradient.

`plan` decides which lines a module has, `words` and its two dialects say each word of the
vocabulary in a framework's terms, `index_lines` writes what only index notation says, and
`torch_module` and `jax_module` write the text.
"""
