"""The recordings that ship: all of people whom no shipped weight has seen. See README.md beside this file."""
