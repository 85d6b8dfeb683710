"""What runs inside the machine, on nothing but Debian's Python: checks, told as lines of JSON."""
