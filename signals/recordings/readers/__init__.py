"""Files to recordings: one module for each kind of file, one entrance to all of them."""

from onwrist.signals.recordings.readers.entrance import iter_hdf5, read_recording, recordings_in

__all__ = ["iter_hdf5", "read_recording", "recordings_in"]
