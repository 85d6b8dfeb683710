"""A Debian machine to exhaust: built once, booted in qemu, thrown away after each run."""
