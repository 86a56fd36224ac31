from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from configs.options import Out


@pytest.fixture
def verb() -> typer.Typer:
    """A verb that only says where it would write."""
    app = typer.Typer()

    @app.command()
    def told(out: Out) -> None:
        typer.echo(f"would write {out.name}")

    return app


def run(verb: typer.Typer, out: Path) -> Any:
    return CliRunner().invoke(verb, ["--out", str(out)], env={"COLUMNS": "300"})


@pytest.mark.parametrize("name", ["new/slates.parquet", "slates.pq", "slates"])
def test_a_file_that_can_be_written_is_taken_and_its_folder_made(verb: typer.Typer, tmp_path: Path, name: str) -> None:
    found = run(verb, tmp_path / name)
    assert found.exit_code == 0 and (tmp_path / name).parent.is_dir() and not (tmp_path / name).exists()


def test_what_a_long_job_could_not_write_in_the_end_is_refused_at_once(verb: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out, said in (
        (tmp_path / "slates.csv", "name a .parquet file"),
        (tmp_path, "name a .parquet file"),
        (tmp_path / "file" / "slates.parquet", "cannot be written to"),
        (Path("/proc/slates.parquet"), "cannot be written to"),
    ):
        found = run(verb, out)
        assert found.exit_code == 2 and said in found.output, (out, found.output)
