"""C: the generator, the kernels, and the firmware around them."""
