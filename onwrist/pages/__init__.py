"""What every page of this house is made of: one stylesheet, one frame, blocks of words, tables and pictures."""
