"""An out-of-memory guard for Linux: it ends the right process before the host freezes."""

__version__ = "0.1.0"
