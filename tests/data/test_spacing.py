"""The joined line has the tokens of the stored one and reads as people write it."""

import ast
import gzip

import pytest

from codefusion.data.builders.spacing import join


@pytest.mark.parametrize(
    ("stored", "joined"),
    [
        (" self . write ( data , end = '' )", "self.write(data, end='')"),
        ("  def f ( self , * args , ** kwargs ) :", "def f(self, *args, **kwargs):"),
        ("from . import x", "from . import x"),
        ("x [ 1 : - 1 ] = { 'a' : - b , 'c' : d * e }", None),
        ("if not ( a and b [ 0 ] ) :", "if not (a and b[0]):"),
        ("@ cached_property", "@cached_property"),
        ("return 'a ( b ) , c' % d", "return 'a ( b ) , c' % d"),
        ('"""A  "quoted" , doc . """', '"""A  "quoted" , doc . """'),
        ("try :", "try:"),
        ("f = lambda x = 1 : x", "f = lambda x = 1: x"),
    ],
)
def test_lines_read_as_people_write_them(stored, joined):
    expected = joined or "x[1:-1] = {'a': -b, 'c': d * e}"
    assert join(stored) == expected


def test_joining_keeps_every_syntax_tree_needs_data(data_dir):
    path = data_dir / "django" / "all.code.gz"
    stored = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    checked = 0
    for line in stored[::10]:
        for suffix in ("", " pass"):
            try:
                before = ast.dump(ast.parse(line.strip() + suffix))
            except SyntaxError:
                continue
            assert before == ast.dump(ast.parse(join(line) + suffix))
            checked += 1
            break
    assert checked > 1500
