"""Gets a pretrained PPG encoder onto a watch, with proof: distil, quantise, export, simulate, compare."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("onwrist")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
