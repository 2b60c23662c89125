# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs that are wrong by construction, made from good ones by a seeded generator.

`SCENARIOS`, `MAPS`, `ELEMENTS` and `LENGTHS` break a rule that the reader states, so each result must be refused.
`scramble` damages bytes at random: the result may still be right, and must then mean something lawful.
"""

import copy
import io

from ruamel.yaml import YAML


def scramble(data: bytes, rng) -> bytes:
    """Damage some bytes: cut, dropped, doubled, flipped, moved, overwritten."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        n = len(data)
        a, b = sorted((rng.randrange(n + 1), rng.randrange(n + 1)))
        b = min(b, a + rng.choice([1, 4, 60, n]))
        kind = rng.randrange(7)
        if kind == 0:
            del data[a:]
        elif kind == 1:
            del data[a:b]
        elif kind == 2:
            data[a:a] = data[a:b]
        elif kind == 3 and n:
            data[min(a, n - 1)] ^= 1 << rng.randrange(8)
        elif kind == 4:
            data[a:b] = bytes(rng.randrange(256) for _ in range(min(b - a, 60)))
        elif kind == 5:
            data[a:b] = b"\0" * (b - a)
        else:
            data[a:a] = rng.choice([b"nan", b"-1", b"1e999", b"\xff", b"\t", b"\r", b"9" * 400, b"{", b"!!python/x "])
        if not data:
            data = bytearray(b"\n")
    return bytes(data)


# ---- scenarios -------------------------------------------------------------------------------------------------------


def dump(tree) -> str:
    stream = io.StringIO()
    YAML(typ="safe").dump(tree, stream)
    return stream.getvalue()


def leaves(value, path=()):
    """(path, value) of every single value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, dict | list):
            yield from leaves(item, (*path, key))
        else:
            yield (*path, key), item


def blocks(value, path=()):
    """Path of every block of keys."""
    if isinstance(value, dict):
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from blocks(item, (*path, key))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def _leaf(tree, rng, value, only=lambda v: True):
    tree = copy.deepcopy(tree)
    path, _ = rng.choice([(p, v) for p, v in leaves(tree) if only(v)])
    at(tree, path[:-1])[path[-1]] = value
    return dump(tree)


def _number(v):
    return isinstance(v, int | float) and not isinstance(v, bool)


def _key(tree, rng):
    tree = copy.deepcopy(tree)
    block = at(tree, rng.choice(list(blocks(tree))))
    key = rng.choice(list(block))
    block[key + rng.choice("xyz_")] = block.pop(key)
    return dump(tree)


def _new_key(tree, rng):
    tree = copy.deepcopy(tree)
    at(tree, rng.choice(list(blocks(tree))))[f"extra{rng.randrange(99)}"] = 1
    return dump(tree)


def _text(change):
    return lambda tree, rng: change(dump(tree), rng)


def _line(text, rng, line):
    lines = text.splitlines()
    lines.insert(rng.randrange(1, len(lines)), line)
    return "\n".join(lines) + "\n"


SCENARIOS = {
    "block for a value": lambda t, r: _leaf(t, r, {"x": 1}),
    "list for a value": lambda t, r: _leaf(t, r, [[1, "a"]]),
    "text for a number": lambda t, r: _leaf(t, r, r.choice(["abc", "1,5", "0x10", "１２", "1e", "--1"]), _number),
    "no finite number": lambda t, r: _leaf(t, r, r.choice([float("nan"), float("-inf")]), _number),
    "negative": lambda t, r: _leaf(t, r, -abs(r.randrange(1, 99)) - 0.5, lambda v: _number(v) and v > 0),
    "huge": lambda t, r: _leaf(t, r, 10 ** r.randrange(40, 300), lambda v: _number(v) and v > 0),
    "truth for a number": lambda t, r: _leaf(t, r, True, _number),
    "misspelt key": _key,
    "unknown key": _new_key,
    "alias": _text(lambda s, r: s + f"a{r.randrange(9)}: &x [1]\nb: *x\n"),
    "bomb": _text(lambda s, r: s + "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
    "tag": _text(lambda s, r: s + f"t{r.randrange(9)}: !!python/object/apply:os.system [ls]\n"),
    "tabs": _text(lambda s, r: _line(s, r, "\t- x: 1")),
    "open bracket": _text(lambda s, r: _line(s, r, "zz: [1, 2" + "," * r.randrange(3))),
    "open quote": _text(lambda s, r: s + 'zz: "' + "a" * r.randrange(9)),
    "deep": _text(lambda s, r: s + "d: " + "[" * r.randrange(50, 5000)),
    "long": _text(lambda s, r: s + "d: [" + "1, " * r.randrange(40_000, 90_000) + "1]\n"),
    "too large": _text(lambda s, r: s + "# " + "x" * 1_000_001),
    "key twice": _text(lambda s, r: s + "name: again\n"),
    "control character": _text(lambda s, r: _line(s, r, "z: \x07")),
    "half a character": _text(lambda s, r: s.replace("title: ", 'title: "\\ud800" #', 1)),
    "a list": _text(lambda s, r: "- " + "\n- ".join(s.splitlines()[:1]) + "\n"),
    "nothing": _text(lambda s, r: "\n" * r.randrange(3)),
    "cut off": _text(lambda s, r: s[: r.randrange(0, s.index("selection"))]),
    "no text": _text(lambda s, r: s.encode() + b"\xff\xfe" + bytes([r.randrange(128, 192)])),
    "merge key": _text(lambda s, r: s + "<<: {name: x}\n"),
    "two documents": _text(lambda s, r: s + "---\n" + s),
    "place outside": lambda t, r: dump(
        t | {"name": r.choice(["../x", "/etc/x", "a/b", "..", "x" * 101, ".x", "a\nb"])}
    ),
}


# ---- tables ----------------------------------------------------------------------------------------------------------


def _rows(text):
    return [line.split("\t") for line in text.splitlines()]


def _table(rows):
    return "\n".join("\t".join(map(str, row)) for row in rows) + "\n"


def _cell(column, *values, header=0):
    def change(text, rng):
        rows = _rows(text)
        rows[rng.randrange(header, len(rows))][column] = rng.choice(values)
        return _table(rows)

    return change


def _swap(header=0):
    """Exchange two rows of one chromosome that differ."""

    def change(text, rng):
        rows = _rows(text)
        while True:
            i, j = sorted(rng.sample(range(header, len(rows)), 2))
            if rows[i][0] == rows[j][0] and rows[i][1] != rows[j][1]:
                rows[i], rows[j] = rows[j], rows[i]
                return _table(rows)

    return change


def _away(header=0):
    """Move a chromosome's first row behind another chromosome."""

    def change(text, rng):
        rows = _rows(text)
        names = [row[0] for row in rows[header:]]
        inner = [header + k for k in range(1, len(names)) if names[k] == names[0]]
        rows.append(rows.pop(rng.choice(inner)))
        return _table(rows)

    return change


def _shorten(columns, header=0):
    def change(text, rng):
        rows = _rows(text)
        k = rng.randrange(header, len(rows))
        rows[k] = rows[k][: rng.randrange(1, columns)]
        return _table(rows)

    return change


NO_NUMBERS = ("abc", "1,5", "0x1F", "１２", "", "1e", "--3", "nan", "9" * 500, "1 000", "\u00bd")
COMMON = {
    "empty": lambda s, r: "\n" * r.randrange(3),
    "no text": lambda s, r: s.encode() + b"\xff\xfe\n",
    "zeros": lambda s, r: s.encode() + b"\0" * r.randrange(1, 2000),
    "one column": lambda s, r: "\n".join(line.replace("\t", "_") for line in s.splitlines()) + "\n",
}
MAPS = COMMON | {
    "no position": _cell(1, *NO_NUMBERS, header=1),
    "half a position": _cell(1, "10.5", "1e-3", "-0.5", header=1),
    "position below 1": _cell(1, "0", "-5", "-9000000", header=1),
    "position beyond all": _cell(1, "99999999999", "9223372036854775808", "1e30", header=1),
    "no cM": _cell(2, *NO_NUMBERS, header=1),
    "negative cM": _cell(2, "-0.1", "-1e9", header=1),
    "infinite cM": _cell(2, "inf", "1e999", "-inf", header=1),
    "points not in order": _swap(1),
    "chromosome in two parts": _away(1),
    "short row": _shorten(3, 1),
    "no header": lambda s, r: "\n".join(s.splitlines()[1:]) + "\n",
    "wrong header": lambda s, r: s.replace("Map(cM)", r.choice(["Map", "M", "x"]), 1),
    "name of a place": lambda s, r: s.replace("\na\t", f"\n{r.choice(['../../x', '/etc/x', 'a/b', 'x' * 65])}\t"),
    "header only": lambda s, r: s.splitlines()[0] + "\n",
}
ELEMENTS = COMMON | {
    "no start": _cell(1, *NO_NUMBERS),
    "no end": _cell(2, *NO_NUMBERS),
    "half an end": _cell(2, "10.5", "-0.5"),
    "end before start": lambda s, r: _cell(2, "0", "-3")(s, r),
    "negative start": _cell(1, "-1", "-900"),
    "end beyond the chromosome": _cell(2, "999999999", "9223372036854775808"),
    "not in order": _swap(),
    "chromosome in two parts": _away(),
    "short row": _shorten(3),
    "unknown chromosome": _cell(0, "zz", "../../etc/passwd", "", "A B"),
}
LENGTHS = COMMON | {
    "no length": _cell(1, *NO_NUMBERS),
    "length below 1": _cell(1, "0", "-4"),
    "too long": _cell(1, "9999999999999", "9223372036854775808", "1e30"),
    "too short for the map": _cell(1, "5", "100"),
    "short row": _shorten(2),
}
