"""How each layer of a network becomes C: a table of its numbers and a call of its kernel, one module a kind of layer."""
