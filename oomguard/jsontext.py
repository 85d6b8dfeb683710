"""What the guard writes as JSON: text, numbers, lists and objects of them.

`json` does this and more; it and `re`, which it needs to read, would take the guard 0.5 MiB.
"""

from __future__ import annotations

_WORDS = {
    "None": "null",
    "False": "false",
    "True": "true",
    "inf": "Infinity",
    "-inf": "-Infinity",
    "nan": "NaN",
}
"""What JSON spells in its own way."""


def dumped(value: object) -> str:
    """`value` in one line of ASCII, without blanks, as `json.loads` reads it."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{_quoted(name)}:{dumped(each)}' for name, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(dumped, value))}]"
    if value is None or isinstance(value, int | float):
        return _WORDS.get(str(value), str(value))
    raise TypeError(f"no JSON for {value!r}")


def _quoted(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    code = ord(char)
    if char in '"\\':
        return f"\\{char}"
    if " " <= char <= "~":
        return char
    if code > 0xFFFF:
        # In two, as UTF-16 has it.
        return f"\\u{0xD800 + (code - 0x10000 >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"
