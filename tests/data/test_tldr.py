"""The tldr pages: markup goes, what is no Bash is set aside, and pages become rows."""

import io
import json
import tarfile

import pytest

from codefusion.data.builders import sources, tldr
from codefusion.data.builders.tldr import markup, pages


def row(nl="List files", cmd="ls", platform="common", **more):
    return dict(platform=platform, page="p", nl=nl, cmd=cmd) | more


def read(*rows):
    data = "".join(json.dumps(each) + "\n" for each in rows).encode()
    return tldr.read({tldr.SOURCES[0].path: data})


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("ls {{[-a|--all]}} {{path/to/file}}", "ls -a path/to/file"),
        ("cp {{path/to/a path/to/b ...}} {{dir}}", "cp path/to/a path/to/b dir"),
        ("aws --output {{json|table|text}}", "aws --output json"),
        ("brew {{[rm|uninstall]}} x", "brew rm x"),
        ("tar {{[-f|--file=]}}{{x}}.tar", "tar -fx.tar"),
        ("docker {{[-it|--interactive --tty]}}", "docker -it"),
        ("git diff 'HEAD@{{{2 days}}}'", "git diff 'HEAD@{2 days}'"),
        ("echo ${HOME} | tee {{file}}", "echo ${HOME} | tee file"),
    ],
)
def test_a_command_says_what_is_typed(marked, plain):
    (outcome,) = read(row(cmd=marked))
    assert outcome.example.code == plain


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("[l]ist [a]ll:", "list all"),
        ("Create a [desc]ription", "Create a description"),
        ("Show e[xp]i[r]ation", "Show expiration"),
        ("Say ([-E]) it", "Say (-E) it"),
        ("Learn of `[[ ]]` and `a[b]`", "Learn of `[[ ]]` and `a[b]`"),
        ("Report (mini [no names], full)", "Report (mini [no names], full)"),
    ],
)
def test_a_description_has_no_brackets_of_mnemonics(marked, plain):
    (outcome,) = read(row(nl=marked))
    assert outcome.example.utterance == plain


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (dict(cmd="echo '"), "cmd: does not parse as Bash"),
        (dict(cmd="f {{}}({{x}}"), "cmd: does not parse as Bash"),
        (dict(cmd=r"docker -f '\{\{.Name\}\}'"), "cmd: markup is left"),
        (dict(cmd="echo {{x"), "cmd: markup is left"),
        (
            dict(cmd="entr '{{make | sed 10q}}'"),
            "cmd: alternatives that cannot",
        ),
        (dict(cmd="play {{f1|u1 f2|u2 ...}}"), "cmd: alternatives that cannot"),
        (dict(cmd="<Ctrl c>"), "cmd: keys to press"),
        (dict(cmd="<n>{{file}}"), "cmd: keys to press"),
        (dict(cmd=":j #{{x}}<Enter>"), "cmd: keys to press"),
        (dict(nl="[Interactive] Quit", cmd="q"), "cmd: keys to press"),
        (dict(nl=None), "nl: expected text, got null"),
        (dict(cmd=" "), "cmd: the text is empty"),
        (dict(platform=3), "platform: expected text, got a number"),
    ],
)
def test_what_cannot_be_used_is_set_aside_with_its_place(changes, reason):
    good, bad = read(row(), row(**changes))
    assert good.example and bad.example is None
    assert str(bad.error).startswith(f"{tldr.SOURCES[0].path}:2: {reason}")


def test_angle_brackets_that_are_no_keys_stay():
    code = "nix-build '<nixpkgs>' -A x < file"
    (outcome,) = read(row(cmd=code))
    assert outcome.example.code == code and outcome.repairs == ()


def test_pages_of_other_platforms_are_not_read():
    names = ("windows", "common", "android", "linux", "osx", "freebsd")
    found = read(*(row(platform=name) for name in names))
    assert [o.id for o in found] == ["train-000001", "train-000003", "train-000004"]


def test_what_is_mended_is_said():
    (outcome,) = read(row(nl="[l]ist:", cmd="ls {{[-a|--all]}} {{x}} {{y}} {{b|c}}"))
    assert outcome.repairs == (
        "brackets of mnemonics taken out",
        "colon at the end taken out",
        "the short option taken",
        "a value filled in by its name",
        "the first of several values taken",
    )
    assert markup.command("ls") == ("ls", [], "")


PAGE = """# tool sub

> What it does: more.
> More information: <https://example.com>.

- Do [a]ll of it:

`tool {{é}}`

- Show `help`:

`tool --help`
"""


def packed(files):
    """Returns a gzipped tar of {name: text}, bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(f"tldr-c0ffee/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def test_an_archive_of_the_repository_becomes_rows_in_the_order_of_paths():
    archive = packed(
        {
            "pages/linux/b.md": PAGE,
            "pages/common/z.md": PAGE.replace("tool", "other"),
            "pages.de/common/a.md": PAGE,
            "README.md": PAGE,
        }
    )
    found = [json.loads(line) for line in pages.to_jsonl(archive).splitlines()]
    assert [(f["platform"], f["page"], f["cmd"]) for f in found] == [
        ("common", "other sub", "other {{é}}"),
        ("common", "other sub", "other --help"),
        ("linux", "tool sub", "tool {{é}}"),
        ("linux", "tool sub", "tool --help"),
    ]
    assert found[0]["nl"] == "Do [a]ll of it" and found[1]["nl"] == "Show `help`"


def test_a_damaged_archive_is_one_line_that_says_so():
    whole = packed({"pages/linux/b.md": PAGE * 99})
    for damaged in (b"<html>", whole[:-30], whole[:40]):
        with pytest.raises(ValueError, match="archive of the tldr pages is truncated"):
            pages.to_jsonl(damaged)


def test_a_quarter_of_the_real_pages_needs_data(data_dir):
    (source,) = tldr.SOURCES
    lines = sources.read(source, data_dir).split(b"\n")
    found = tldr.read({source.path: b"\n".join(lines[::4])})
    kept = [o.example for o in found if o.example]
    assert (len(found), len(kept)) == (7_620, 7_471)
    assert not [e.code for e in kept if "{{" in e.code]
