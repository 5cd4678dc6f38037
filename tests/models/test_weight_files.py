"""Safetensors files: every way in which a header is wrong is one clear error."""

import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from codefusion.models import weight_files


@pytest.fixture
def file(tmp_path):
    """The path that `save` writes to."""
    return tmp_path / "model.safetensors"


def raw_file(file, header, data=b""):
    """Writes a safetensors file with the header's bytes as they are."""
    file.write_bytes(len(header).to_bytes(8, "little") + header + data)


def one_line(error):
    """Asserts that an error is one line."""
    assert "\n" not in str(error.value)


def test_a_sound_header_tells_every_tensor_and_its_values_can_be_read(file):
    tensors = {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}
    save_file(tensors, file)
    found = weight_files.header(file)
    assert {name: entry[1:] for name, entry in found.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("F16", (4,)),
    }
    for name, value in tensors.items():
        np.testing.assert_array_equal(weight_files.read(found, name), value)


def test_a_key_twice_in_the_header_is_refused(file):
    entry = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    header = b'{"shared.weight":' + entry + b',"shared.weight":' + entry + b"}"
    raw_file(file, header, bytes(4))
    with pytest.raises(ValueError, match="has shared.weight more than once") as e:
        weight_files.header(file)
    one_line(e)


def test_a_key_twice_in_one_entry_is_refused(file):
    header = b'{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}'
    raw_file(file, header, bytes(4))
    with pytest.raises(ValueError, match="has shape more than once"):
        weight_files.header(file)


def test_a_file_cut_anywhere_is_one_clear_error(file):
    save_file({name: np.ones((20, 30), np.float32) for name in "abcdef"}, file)
    whole = file.read_bytes()
    for length in (0, 3, 8, 9, 500, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=re.escape(str(file))) as e:
            weight_files.header(file)
        one_line(e)


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"a":1}', b"[" * 50_000, b'{"a":"\xff"}'],
)
def test_a_header_that_is_no_header_is_one_clear_error(file, header):
    raw_file(file, header)
    with pytest.raises(ValueError, match=re.escape(str(file))) as e:
        weight_files.header(file)
    one_line(e)
