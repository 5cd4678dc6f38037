"""Files are written whole or not at all."""

import os
import threading

import pytest

from codefusion import files


def test_text_is_written_as_utf8_and_bytes_as_they_are(tmp_path):
    files.write_whole(tmp_path / "text", "a\r\n\u00e9")
    files.write_whole(str(tmp_path / "bytes"), b"\xff\x00")
    assert (tmp_path / "text").read_bytes() == "a\r\n\u00e9".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\xff\x00"


def test_the_folder_is_made_and_nothing_else_stays_in_it(tmp_path):
    files.write_whole(tmp_path / "a" / "b" / "file", "new")
    files.write_whole(tmp_path / "a" / "b" / "file", "newer")
    assert os.listdir(tmp_path / "a" / "b") == ["file"]
    assert (tmp_path / "a" / "b" / "file").read_text() == "newer"


def test_a_name_without_a_folder_is_written_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_whole("file", "x")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("data", ["\ud800", 7], ids=["not UTF-8", "not content"])
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, data):
    files.write_whole(tmp_path / "file", "old")
    with pytest.raises((UnicodeEncodeError, TypeError)):
        files.write_whole(tmp_path / "file", data)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_failed_swap_leaves_no_partial_file(tmp_path):
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        files.write_whole(tmp_path / "taken", "x")
    assert os.listdir(tmp_path) == ["taken"]


def test_writers_at_once_leave_one_whole_content(tmp_path):
    contents = [bytes([n]) * 100_000 for n in range(8)]
    writers = [
        threading.Thread(target=files.write_whole, args=(tmp_path / "file", content))
        for content in contents
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "file").read_bytes() in contents
    assert os.listdir(tmp_path) == ["file"]
