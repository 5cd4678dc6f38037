"""Preparing: what is read back is what was read, once, however many prepare it."""

import hashlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from codefusion.data import datasets, rows
from codefusion.data.builders import base, bash_corpus, nl2bash, prepare, sources, tldr

BENCHMARK = {
    "train": [
        {"ID": 1, "NL Utterance": "list\n", "Code": "ls\n"},
        {"ID": 2, "NL Utterance": "broken", "Code": 3},
        {"ID": 3, "NL Utterance": "é 漢字 \u2028 ", "Code": "a\tb\n\nc \\n"},
    ],
    "test": [{"ID": 4, "NL Utterance": "x", "Code": "y"}],
}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Returns a data folder with small files for `nl2bash` and `bash_corpus`."""
    monkeypatch.setenv("CODEFUSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CODEFUSION_DATA", raising=False)
    folder = tmp_path / "data"
    lines = "".join(f"echo {n}\n\n" for n in range(2500)).encode()
    put(monkeypatch, folder, nl2bash, json.dumps(BENCHMARK).encode())
    put(monkeypatch, folder, bash_corpus, lines)
    return folder


def put(monkeypatch, folder, dataset, content):
    path = folder / dataset.SOURCES[0].path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    source = sources.Source(dataset.SOURCES[0].path, "http://127.0.0.1:9/x", digest)
    monkeypatch.setattr(dataset, "SOURCES", (source,))


def direct(dataset, folder):
    """Returns the outcomes read from the files, without preparing anything."""
    return tuple(
        dataset.read({s.path: sources.read(s, folder) for s in dataset.SOURCES})
    )


def test_what_is_read_back_is_what_the_files_hold(folder):
    found = prepare.load("nl2bash", folder)
    key = [(o.part != "train", o.id) for o in found]
    assert key == sorted(key)
    assert sorted(found, key=lambda o: o.id) == sorted(
        direct(nl2bash, folder), key=lambda o: o.id
    )
    assert [o.error is None for o in found] == [True, False, True, True]
    assert found[0].repairs == ("newline at the end of a text stripped",)
    assert found[2].example == rows.Example(
        "train-000002", "é 漢字 \u2028 ", "a\tb\n\nc \\n"
    )


def test_a_corpus_is_read_back_in_order(folder):
    found = prepare.load("bash_corpus", folder)
    assert found == direct(bash_corpus, folder)
    assert len(found) == 2500


def test_pairs_to_train_on_beside_a_benchmark_are_prepared_too(folder, monkeypatch):
    rows_of_tldr = [
        dict(platform="linux", nl="[l]ist", cmd="ls {{é}}"),
        dict(platform="linux", nl="x", cmd="("),
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows_of_tldr).encode()
    put(monkeypatch, folder, tldr, lines)
    found = prepare.load("tldr", folder)
    assert found == direct(tldr, folder)
    assert found[0].example.code == "ls é" and found[1].error.line == 2
    assert issubclass(prepare.builder_class("python_docs"), base.PairsBuilder)


def test_the_second_time_nothing_is_prepared(folder, monkeypatch):
    first = prepare.load("nl2bash", folder)
    prepare._load.cache_clear()
    monkeypatch.setattr(prepare, "_prepare", None)
    assert prepare.load("nl2bash", folder) == first


def test_once_prepared_neither_folder_nor_network_is_needed(folder):
    first = prepare.load("nl2bash", folder)
    assert prepare.load("nl2bash", None) == first


def test_no_folder_and_no_network_is_one_line_with_both_remedies(monkeypatch, tmp_path):
    def refuse(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("CODEFUSION_CACHE", str(tmp_path))
    monkeypatch.delenv("CODEFUSION_DATA", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(ValueError) as caught:
        datasets.DATASETS["conala"]().examples("train")
    for part in ("CODEFUSION_DATA", "connect to a network", "no route to host"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_altered_file_is_noticed_although_the_data_is_prepared(folder):
    prepare.load("nl2bash", folder)
    (folder / nl2bash.SOURCES[0].path).write_bytes(b"[]")
    with pytest.raises(ValueError, match="SHA-256"):
        prepare.load("nl2bash", folder)


def test_other_content_is_prepared_in_another_folder(folder, monkeypatch):
    first = prepare.key("nl2bash")
    put(monkeypatch, folder, nl2bash, b'{"train": []}')
    assert prepare.key("nl2bash") != first


def test_nothing_is_left_where_preparing_fails(folder, monkeypatch):
    put(monkeypatch, folder, nl2bash, b'{"train": [}')
    with pytest.raises(ValueError, match="BashBenchmarks.json:1: row: not JSON"):
        prepare.load("nl2bash", folder)
    assert list((sources.cache_dir() / "prepared").iterdir()) == []


def test_the_second_of_two_who_publish_leaves_the_first_alone(folder, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)
    for name in ("first", "second"):
        prepare._publish(tmp_path / name, tmp_path / "final")
    assert (tmp_path / "final" / "who").read_text() == "first"


def test_a_cache_without_write_access_names_its_variable(folder, monkeypatch):
    monkeypatch.setenv("CODEFUSION_CACHE", str(folder / nl2bash.SOURCES[0].path))
    with pytest.raises(ValueError, match="CODEFUSION_CACHE"):
        prepare.load("nl2bash", folder)


SCRIPT = """
import sys
from codefusion.data.builders import nl2bash, prepare, sources
path, folder, digest = sys.argv[1:]
nl2bash.SOURCES = (sources.Source(path, "", digest),)
print(len(prepare.load("nl2bash", folder)))
heavy = {"tensorflow", "torch", "jax"} & set(sys.modules)
assert not heavy, heavy
"""


def test_two_processes_prepare_at_once_and_neither_imports_tensorflow(folder):
    source = nl2bash.SOURCES[0]
    command = [sys.executable, "-c", SCRIPT, source.path, str(folder), source.sha256]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pair = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    for process in pair:
        out, err = process.communicate(timeout=120)
        # tfds must not write on stdout, which is for a command's result.
        assert (process.returncode, out) == (0, "4\n"), err
    assert len(list((sources.cache_dir() / "prepared").iterdir())) == 1
