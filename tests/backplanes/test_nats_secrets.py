"""What crosses the wire to NATS, and what is secret of it: never in clear where TLS is wanted, and never printed."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from django.views.debug import ExceptionReporter

from testproject.servers.nats import Nats
from tests.conftest import server_folder
from via_state.backplanes.nats import NatsBackplane
from via_state.checks import check_settings
from via_state.exceptions import BackplaneUnavailable
from via_state.testing.conformance.harness import append, read_all

PASSWORD = "hunter2"
LOGINS: Mapping[str, Mapping[str, Any]] = {
    "a user": {"USER": "via", "PASSWORD": PASSWORD},
    "a token": {"TOKEN": PASSWORD},
    "a login in the address": {"SERVERS": f"nats://via:{PASSWORD}@127.0.0.1:PORT"},
    "a token in the address": {"SERVERS": f"nats://{PASSWORD}@127.0.0.1:PORT"},
    "nobody": {},
}


@asynccontextmanager
async def impostor(**info: Any) -> AsyncIterator[tuple[int, bytearray]]:
    """Somebody in the server's place who says ``info``: the port, and all that is sent there."""
    heard = bytearray()
    said = {
        "server_id": "x",
        "version": "2.11.0",
        "max_payload": 1048576,
        "headers": True,
        "auth_required": True,
        **info,
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO " + json.dumps(said).encode() + b"\r\n")
        while part := await reader.read(65536):
            heard.extend(part)
            if b"PING" in part:
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def options(port: int, login: Mapping[str, Any], scheme: str = "nats") -> dict[str, Any]:
    servers = (
        str(login.get("SERVERS", "nats://127.0.0.1:PORT"))
        .replace("PORT", str(port))
        .replace("nats:", f"{scheme}:")
    )
    return {"TIMEOUT": 0.5, "CONNECT_TIMEOUT": 2.0, **login, "SERVERS": servers}


@pytest.mark.parametrize("info", [{"tls_required": False}, {}, {"tls_available": True}], ids=str)
@pytest.mark.parametrize("wish", ["TLS", "tls://"])
@pytest.mark.parametrize("login", LOGINS)
async def test_where_tls_is_wanted_nothing_is_sent_in_clear(login: str, wish: str, info: dict[str, Any]) -> None:
    async with impostor(**info) as (port, heard):
        given = options(port, LOGINS[login], "nats" if wish == "TLS" else "tls")
        plane = NatsBackplane({**given, "TLS": True} if wish == "TLS" else given)
        with pytest.raises(BackplaneUnavailable, match=r"TLS is wanted.*nothing was sent"):
            await plane.head("log")
        await plane.close()
        assert heard == b""


async def test_one_encrypted_address_encrypts_them_all() -> None:
    async with impostor() as (port, heard):
        servers = ["tls://127.0.0.1:1", f"nats://127.0.0.1:{port}"]
        plane = NatsBackplane({"SERVERS": servers, "USER": "via", "PASSWORD": PASSWORD})
        with pytest.raises(BackplaneUnavailable):
            await plane.head("log")
        await plane.close()
        assert heard == b""


@pytest.fixture(scope="module")
def certificate() -> Iterator[dict[str, Path]]:
    """Of a server at 127.0.0.1, signed by itself."""
    with server_folder() as folder:
        found = {"CERT": folder / "cert.pem", "KEY": folder / "key.pem"}
        command = [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(found["KEY"]), "-out", str(found["CERT"])),
        ]
        subprocess.run(command, check=True, capture_output=True)
        yield found


@pytest.mark.parametrize(
    ("line", "more", "works"),
    [
        ("", {}, True),
        ("handshake_first: true", {"HANDSHAKE_FIRST": True}, True),
        ("handshake_first: true", {}, False),
    ],
)
async def test_a_server_with_tls_is_used_with_its_certificate_only(
    certificate: dict[str, Path], line: str, more: dict[str, Any], works: bool
) -> None:
    with server_folder() as folder:
        config = folder / "nats.conf"
        config.write_text(
            f'tls {{ cert_file: "{certificate["CERT"]}", key_file: "{certificate["KEY"]}"\n{line} }}\n'
            f'authorization {{ user: via, password: "{PASSWORD}" }}'
        )
        server = Nats(folder / "nats", more=["-c", str(config)])
        server.start()
        login = {
            "SERVERS": server.url,
            "USER": "via",
            "PASSWORD": PASSWORD,
            "CONNECT_TIMEOUT": 5.0 if works else 1.0,
        }
        plane = NatsBackplane({**login, "TLS": {"CA": str(certificate["CERT"]), **more}})
        stranger = NatsBackplane({**login, "TLS": {**more} or True})
        with pytest.raises(BackplaneUnavailable):
            await stranger.head("log")
        if works:
            await append(plane, "log", b"x")
            assert [data for _, data in await read_all(plane, "log")] == [b"x"]
        else:
            with pytest.raises(BackplaneUnavailable):
                await plane.head("log")
        for one in (plane, stranger):
            await one.close()
        server.stop()


def warnings(**given: Any) -> set[str | None]:
    return {one.id for one in NatsBackplane.check_deployment(given)} - {"via_state.W004", "via_state.W005"}


def test_a_password_in_clear_to_another_machine_is_warned_of() -> None:
    login = {"USER": "via", "PASSWORD": PASSWORD}
    assert warnings(SERVERS="nats://10.0.0.1", **login) == {"via_state.W020"}
    assert warnings(SERVERS=["nats://127.0.0.1", "nats.internal:4222"], TOKEN=PASSWORD) == {"via_state.W020"}
    assert warnings(SERVERS=f"nats://via:{PASSWORD}@10.0.0.1:4222") == {"via_state.W020", "via_state.W022"}
    for servers in (
        "nats://127.0.0.1:4222",
        "localhost:4222",
        "nats://[::1]:4222",
        "nats://127.8.8.8",
        "tls://10.0.0.1",
    ):
        assert warnings(SERVERS=servers, **login) == set(), servers
    assert warnings(SERVERS="nats://10.0.0.1", TLS=True, **login) == set()
    assert warnings(SERVERS="nats://10.0.0.1") == set()


@pytest.mark.parametrize(
    "wrong",
    [
        {"SERVERS": f"nats://via:{PASSWORD}@10.0.0.1:port"},
        {"SERVERS": [f"nats://via:{PASSWORD}@10.0.0.1", 5]},
        {"SERVERS": {f"nats://via:{PASSWORD}@10.0.0.1": 1}},
        {"SERVERS": f"https://via:{PASSWORD}@10.0.0.1:4222"},
        {"SERVERS": f"nats://via:a/{PASSWORD}@10.0.0.1:4222"},
        {"PASSWORD": [PASSWORD]},
        {"TOKEN": (PASSWORD,)},
        {"CREDENTIALS": f"-----BEGIN NATS USER JWT-----\n{PASSWORD}\n" * 20},
        {"TLS": {"KEY": f"-----BEGIN PRIVATE KEY-----\n{PASSWORD}"}},
        {"DATABASE": f"postgres://via:{PASSWORD}@10.0.0.1/shop"},
        {"SERVER": f"nats://via:{PASSWORD}@10.0.0.1"},
        [("SERVERS", f"nats://via:{PASSWORD}@10.0.0.1")],
    ],
    ids=str,
)
def test_no_check_prints_a_secret(wrong: Any) -> None:
    setting: dict[str, Any] = {"BACKEND": "via_state.backplanes.nats.NatsBackplane", "OPTIONS": wrong}
    if isinstance(wrong, dict) and "DATABASE" in wrong:
        setting = {"BACKEND": "via_state.backplanes.postgres.PostgresBackplane", **wrong}
    with override_settings(VIA_STATE=setting):
        found = check_settings()
    assert {one.id for one in found} & {f"via_state.E0{number}" for number in (10, 12, 20, 24)}
    assert PASSWORD not in "".join(f"{one.msg}{one.hint}" for one in found)


@pytest.mark.parametrize("login", [one for one in LOGINS if one != "nobody"])
async def test_no_error_log_or_page_about_an_error_shows_a_secret(
    login: str, caplog: pytest.LogCaptureFixture, unused_tcp_port: int
) -> None:
    caplog.set_level(logging.DEBUG)
    plane = NatsBackplane(options(unused_tcp_port, LOGINS[login]))
    with pytest.raises(BackplaneUnavailable) as caught:
        await plane.head("log")
    await plane.close()
    with override_settings(DEBUG=True, SECRET_KEY="x"):
        page = ExceptionReporter(None, caught.type, caught.value, caught.tb).get_traceback_html()
    assert "def connect" in page, "the page shows where it was raised, with the names that there are"
    assert PASSWORD not in page
    assert PASSWORD not in caplog.text + repr(plane.options) + str(caught.value)


async def test_a_login_in_an_address_is_used() -> None:
    with server_folder() as folder:
        config = folder / "nats.conf"
        config.write_text('authorization { user: "v@a", password: "p:/@%" }')
        server = Nats(folder / "nats", more=["-c", str(config)])
        server.start()
        plane = NatsBackplane({"SERVERS": f"nats://v%40a:p%3A%2F%40%25@{server.host}:{server.port}"})
        await append(plane, "log", b"x")
        await plane.close()
        server.stop()
