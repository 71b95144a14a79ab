"""The copy of PostgreSQL's programs for an account that can't read the environment."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from testproject.servers.postgres_binaries import PROGRAMS, copied, installed


def test_a_copy_works_by_itself(tmp_path: Path) -> None:
    copy = copied(installed(), tmp_path / "copy")
    said = subprocess.run(
        [copy / PROGRAMS / "bin/postgres", "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("postgres (PostgreSQL) 18.")


def test_copies_at_the_same_time_end_in_one_whole_copy(tmp_path: Path) -> None:
    source = made(tmp_path / "source")
    threads = [threading.Thread(target=copied, args=[source, tmp_path / "copy"]) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "copy" / PROGRAMS / "bin/postgres").read_text() == "program"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "copy.lock", "source"]


def test_a_copy_that_lost_a_file_is_made_again(tmp_path: Path) -> None:
    source = made(tmp_path / "source")
    lost = copied(source, tmp_path / "copy") / PROGRAMS / "share/zone"
    lost.unlink()
    copied(source, tmp_path / "copy")
    assert lost.read_text() == "zone"


def made(source: Path) -> Path:
    for name, text in {"bin/postgres": "program", "share/zone": "zone"}.items():
        file = source / PROGRAMS / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return source
