"""Pretraining objectives, one file an idea: a loss over a batch of windows plus, where needed, a momentum teacher."""
