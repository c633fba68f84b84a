"""Draws on disk: F13 (damaged or changed) and F14 (another program, a newer version)."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import metastrata as ms
from metastrata.errors import InputError, OutputError
from metastrata.inference.saved import SCHEMA, digest, load_draws, refuse_newer, this_version, write_draws

ATTRIBUTES = {"engine": "nuts", "status": "reliable", "endpoint": "pain", "model": "{}", "settings": '{"seed": 1}'}


@pytest.fixture
def tree() -> xr.DataTree:
    draws = np.random.default_rng(1).normal(size=(2, 50))
    posterior = xr.Dataset(
        {"mu": (("chain", "draw"), draws), "theta": (("chain", "draw", "study"), np.stack([draws, -draws], -1))},
        {"study": ["M\u00fcller 2001", "Lee"], "chain": [0, 1], "draw": np.arange(50)},
    )
    stats = xr.Dataset({"diverging": (("chain", "draw"), draws > 2), "depth": (("chain", "draw"), draws.astype(int))})
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})


@pytest.fixture
def saved(tree: xr.DataTree, tmp_path: Path) -> Path:
    return write_draws(tree, tmp_path / "pain.nc", ATTRIBUTES)


def test_what_is_written_is_read_back_with_its_schema_and_checksum(tree: xr.DataTree, saved: Path) -> None:
    back = load_draws(saved)
    xr.testing.assert_equal(back["posterior"].to_dataset(), tree["posterior"].to_dataset())
    xr.testing.assert_equal(back["sample_stats"].to_dataset(), tree["sample_stats"].to_dataset())
    assert back.attrs == {
        **ATTRIBUTES,
        "schema": SCHEMA,
        "metastrata": this_version(),
        "sha256_of_values": digest(back),
    }
    assert [p.name for p in saved.parent.iterdir()] == ["pain.nc"]


def code_of(path: Path) -> tuple[str, str]:
    with pytest.raises(InputError) as error:
        load_draws(path)
    (fault,) = error.value.faults
    return fault.code, fault.message


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_f13_a_truncated_file_is_refused(saved: Path, part: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * part)])
    code, message = code_of(saved)
    assert code == "F13"
    assert "pain.nc" in message


def test_f13_a_flipped_bit_is_refused_or_changes_nothing(saved: Path) -> None:
    """In thirty places: either the file is refused in words, or what is read is what was written."""
    data = saved.read_bytes()
    whole = digest(load_draws(saved))
    refused: list[str] = []
    for place in np.random.default_rng(2).integers(0, len(data), 30):
        flipped = bytearray(data)
        flipped[int(place)] ^= 1
        saved.write_bytes(bytes(flipped))
        try:
            assert digest(load_draws(saved)) == whole
        except InputError as error:
            refused.append(error.faults[0].code)
    assert len(refused) > 3
    assert set(refused) <= {"F13", "F14"}


def test_f13_a_changed_value_is_refused_by_the_checksum_of_the_values(saved: Path) -> None:
    tree = xr.load_datatree(saved, engine="h5netcdf")
    tree["posterior"]["mu"].values[0, 7] += 1e-9
    tree.to_netcdf(saved, engine="h5netcdf", mode="w")
    code, message = code_of(saved)
    assert code == "F13"
    assert message.startswith("checksum mismatch for pain.nc (expected ")
    assert "the file changed after it was written; restore it, or run the analysis again" in message


def test_f13_a_file_that_is_not_the_one_its_folder_recorded(tree: xr.DataTree, tmp_path: Path) -> None:
    (tmp_path / "fit").mkdir()
    path = write_draws(tree, tmp_path / "fit" / "pain.nc", ATTRIBUTES)
    record = {"outputs": {"fit/pain.nc": hashlib.sha256(path.read_bytes()).hexdigest()}}
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    assert load_draws(path).attrs["schema"] == SCHEMA
    tree["posterior"]["mu"].values[0, 0] += 1  # another fit, whole in itself
    write_draws(tree, path, ATTRIBUTES)
    code, message = code_of(path)
    assert code == "F13"
    assert f"expected {record['outputs']['fit/pain.nc'][:12]}..." in message


def rewritten(path: Path, **attributes: object) -> Path:
    tree = xr.load_datatree(path, engine="h5netcdf")
    tree.attrs = {k: v for k, v in {**tree.attrs, **attributes}.items() if v is not None}
    tree.to_netcdf(path, engine="h5netcdf", mode="w")
    return path


def test_f14_draws_of_a_newer_version_are_refused_with_both_versions(saved: Path) -> None:
    code, message = code_of(rewritten(saved, schema=5, metastrata="2.1"))
    assert code == "F14"
    assert message.startswith(
        f"pain.nc was written by metastrata 2.1 (schema 5); this is {this_version()} (schema <= 1)"
    )


def test_f14_draws_of_another_program_are_refused(saved: Path) -> None:
    code, message = code_of(rewritten(saved, model=None))
    assert code == "F14"
    assert "was not written by metastrata" in message


def test_draws_from_before_the_schema_are_read(saved: Path) -> None:
    old = load_draws(rewritten(saved, schema=None, metastrata=None, sha256_of_values=None))
    assert old.attrs["schema"] == 0
    assert old["posterior"]["mu"].shape == (2, 50)


@pytest.mark.parametrize("schema", [None, "5", 1.5, True, -1])
def test_f14_a_schema_that_is_no_number_is_refused(schema: object) -> None:
    with pytest.raises(InputError, match="has no schema number") as error:
        refuse_newer("results.json", schema, 1, "0.1")
    assert error.value.faults[0].code == "F14"


def test_f15_draws_that_cannot_be_written_leave_nothing(tree: xr.DataTree, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as error:
        write_draws(tree, tmp_path / "nowhere" / "pain.nc", ATTRIBUTES)
    assert error.value.faults[0].code == "F15"
    assert list(tmp_path.iterdir()) == []


def test_the_front_door_reads_draws() -> None:
    assert ms.load_draws is load_draws
