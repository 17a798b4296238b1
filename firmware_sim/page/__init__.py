"""The watch in a page: the exported C as WebAssembly, with recordings to play, in one HTML file."""
