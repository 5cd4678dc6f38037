"""Sources: files come from a folder or a download, and never unchecked."""

import functools
import gzip
import hashlib
import http.server
import threading

import pytest

from codefusion.data.builders import sources

CONTENT = b'{"train": []}\r\n'


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CODEFUSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("CODEFUSION_DATA", raising=False)


@pytest.fixture
def server(tmp_path):
    """Returns a folder and the address of a server on this machine that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def source_of(content=CONTENT, *, url="http://127.0.0.1:9/rows.json", **more):
    digest = hashlib.sha256(content).hexdigest()
    return sources.Source("set/rows.json", url, digest, **more)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_may_hold_the_file_plain_or_gzipped(tmp_path, suffix):
    (tmp_path / "set").mkdir()
    stored = gzip.compress(CONTENT) if suffix else CONTENT
    (tmp_path / f"set/rows.json{suffix}").write_bytes(stored)
    assert sources.read(source_of(), tmp_path) == CONTENT


def test_an_altered_file_in_the_folder_is_refused_with_both_hashes(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/rows.json").write_bytes(CONTENT + b" ")
    with pytest.raises(ValueError) as caught:
        sources.read(source_of(), tmp_path)
    for part in ("set/rows.json", source_of().sha256, "altered"):
        assert part in str(caught.value)


def test_a_file_that_the_folder_lacks_is_not_downloaded_in_silence(tmp_path, server):
    folder, address = server
    (folder / "rows.json").write_bytes(CONTENT)
    with pytest.raises(ValueError, match="set/rows.json.* is not in the data folder"):
        sources.read(source_of(url=f"{address}/rows.json"), tmp_path)


def test_a_download_is_checked_and_kept(server):
    folder, address = server
    (folder / "rows.json").write_bytes(CONTENT)
    source = source_of(url=f"{address}/rows.json")
    assert sources.read(source) == CONTENT
    (folder / "rows.json").unlink()
    assert sources.read(source) == CONTENT


def test_a_download_with_another_hash_is_refused_and_not_kept(server):
    folder, address = server
    (folder / "rows.json").write_bytes(b"<html>not found</html>")
    source = source_of(url=f"{address}/rows.json")
    with pytest.raises(ValueError, match="SHA-256"):
        sources.read(source)
    (folder / "rows.json").write_bytes(CONTENT)
    assert sources.read(source) == CONTENT


def test_a_damaged_download_cache_is_noticed(server):
    folder, address = server
    (folder / "rows.json").write_bytes(CONTENT)
    source = source_of(url=f"{address}/rows.json")
    sources.read(source)
    (sources.cache_dir() / "downloads" / source.sha256).write_bytes(b"")
    with pytest.raises(ValueError, match="SHA-256"):
        sources.read(source)


@pytest.mark.parametrize("upstream", [b"a\r\nb\r\n", b"a\r\nb", b"a\nb\n"])
def test_line_ends_are_turned_where_the_pinned_file_has_unix_ones(server, upstream):
    folder, address = server
    (folder / "rows.json").write_bytes(upstream)
    plain = b"a\nb\n"
    source = source_of(plain, url=f"{address}/rows.json", unix_newlines=True)
    assert sources.read(source) == plain


def test_a_file_that_is_made_of_a_download_is_checked_as_made_and_kept_so(server):
    folder, address = server
    (folder / "rows.json").write_bytes(CONTENT[::-1])
    made = dict(url=f"{address}/rows.json", convert=lambda data: data[::-1])
    assert sources.read(source_of(**made)) == CONTENT
    (folder / "rows.json").unlink()
    assert sources.read(source_of(**made)) == CONTENT


@pytest.mark.parametrize("served", [True, False])
def test_no_folder_and_no_network_names_both_remedies(server, served):
    url = f"{server[1]}/absent" if served else "http://127.0.0.1:9/rows.json"
    with pytest.raises(ValueError) as caught:
        sources.read(source_of(url=url))
    for part in ("CODEFUSION_DATA", "data.data_dir", "set/rows.json", "network", url):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_folder_is_the_argument_then_the_environment(monkeypatch, tmp_path):
    assert sources.data_folder() is None
    monkeypatch.setenv("CODEFUSION_DATA", str(tmp_path))
    assert sources.data_folder() == tmp_path
    assert sources.data_folder(str(tmp_path.parent)) == tmp_path.parent
    with pytest.raises(ValueError, match="absent.* does not exist"):
        sources.data_folder(str(tmp_path / "absent"))


def test_a_cache_that_cannot_be_written_names_its_variable(
    server, monkeypatch, tmp_path
):
    folder, address = server
    (folder / "rows.json").write_bytes(CONTENT)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CODEFUSION_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="CODEFUSION_CACHE"):
        sources.read(source_of(url=f"{address}/rows.json"))


def test_pinned_urls_hold_the_commit_and_no_space():
    source = sources.github("a/b", "c0ffee", "x y/z.txt", path="z.txt", sha256="0")
    assert source.url.endswith("/a/b/c0ffee/x%20y/z.txt")
