"""Logging in to NATS with files, and what is said when that fails: nothing was sent, so nothing is of unknown outcome."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nats as nats_py
import nkeys
import pytest
from nats.aio.client import Client

from testproject.servers.nats import Nats
from tests.conftest import nats_with
from via_state.backplanes.nats import NatsBackplane
from via_state.exceptions import BackplaneRefused, BackplaneUnavailable
from via_state.testing.conformance.harness import append, read_all

SEED = nkeys.encode_seed(b"u" * 32, nkeys.PREFIX_BYTE_USER).decode()
#: A folder with files to log in with, the options that name them, and what must be said.
Failing = tuple[Callable[[Path], Mapping[str, Any]], type[Exception], str]


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def wrong_key(folder: Path) -> dict[str, Any]:
    for name in ("one", "other"):
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
        files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return {"TLS": {"CERT": str(folder / "one.pem"), "KEY": str(folder / "other.key")}}


FAILING: dict[str, Failing] = {
    "no credentials file": (
        lambda folder: {"CREDENTIALS": folder / "gone"},
        BackplaneUnavailable,
        r"CREDENTIALS can't be read: No such file",
    ),
    "garbage for credentials": (
        lambda folder: {"CREDENTIALS": written(folder / "x", "garbage")},
        BackplaneRefused,
        "CREDENTIALS is not one: it lacks",
    ),
    "a garbage seed in credentials": (
        lambda folder: {"CREDENTIALS": written(folder / "x", credentials("jwt", "SUGARBAGE"))},
        BackplaneRefused,
        "seed in the file of CREDENTIALS",
    ),
    "a garbage seed": (
        lambda folder: {"NKEY": written(folder / "x", "garbage")},
        BackplaneRefused,
        "seed in the file of NKEY",
    ),
    "no CA file": (
        lambda folder: {"TLS": {"CA": str(folder / "gone")}},
        BackplaneUnavailable,
        r"TLS\['CA'\] can't be read: No such file",
    ),
    "a garbage CA file": (
        lambda folder: {"TLS": {"CA": written(folder / "x", "garbage")}},
        BackplaneRefused,
        "files of TLS can't be used",
    ),
    "another client's key": (wrong_key, BackplaneRefused, "files of TLS can't be used.*KEY_VALUES_MISMATCH"),
    "three replicas on one server": (
        lambda folder: {"REPLICAS": 3},
        BackplaneRefused,
        "replicas > 1 not supported in non-clustered mode",
    ),
}


def credentials(jwt: str, seed: str) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


@pytest.mark.parametrize("failing", FAILING)
async def test_what_fails_before_anything_is_sent_says_so_in_its_own_words(
    nats: Nats, failing: str, prefix: str, tmp_path: Path
) -> None:
    make, kind, words = FAILING[failing]
    plane = NatsBackplane({"SERVERS": nats.url, "PREFIX": prefix, **make(tmp_path)})
    for verb in (append(plane, "log", b"x"), plane.cas("cell", None, b"x"), plane.drop("log"), plane.head("log")):
        with pytest.raises(BackplaneUnavailable, match=words) as raised:
            await verb
        assert (kind is BackplaneRefused) == isinstance(raised.value, BackplaneRefused)
    await plane.close()


async def test_credentials_without_the_library_that_signs_are_refused_and_the_check_says_so(
    nats: Nats, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    options = {
        "SERVERS": nats.url,
        "PREFIX": prefix,
        "CREDENTIALS": written(tmp_path / "x", credentials("j", SEED)),
    }
    plane = NatsBackplane(options)
    with pytest.raises(BackplaneRefused, match=r"nkeys.*pip install 'via-state\[nats\]'"):
        await append(plane, "log", b"x")
    await plane.close()
    (found,) = NatsBackplane.check(options)
    assert found.id == "via_state.E024"
    assert "via-state[nats]" in str(found.hint)


async def test_a_file_that_was_gone_for_a_moment_is_read_again(nats: Nats, prefix: str, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    plane = NatsBackplane({"SERVERS": nats.url, "PREFIX": prefix, "NKEY": str(seed), "TOKEN": nats.token})
    with pytest.raises(BackplaneUnavailable, match="NKEY can't be read"):
        await append(plane, "log", b"x")
    seed.write_text(SEED)
    await append(plane, "log", b"x")
    await plane.close()


async def works(**options: Any) -> None:
    plane = NatsBackplane(options)
    try:
        await append(plane, "log", b"x")
        assert [data for _, data in await read_all(plane, "log")] == [b"x"]
    finally:
        await plane.close()


async def test_a_user_with_a_seed_logs_in(tmp_path: Path) -> None:
    public = nkeys.from_seed(bytearray(SEED.encode())).public_key.decode()
    with nats_with(f"authorization {{ users: [ {{ nkey: {public} }} ] }}") as server:
        await works(SERVERS=server.url, NKEY=written(tmp_path / "seed", f"{SEED}\n"))
        with pytest.raises(BackplaneUnavailable, match=r"(?i)authorization violation|credentials may be wrong"):
            await works(SERVERS=server.url)


async def test_a_user_with_a_credentials_file_logs_in(tmp_path: Path) -> None:
    operator = key(nkeys.PREFIX_BYTE_OPERATOR, b"o")
    account, system = key(nkeys.PREFIX_BYTE_ACCOUNT, b"a"), key(nkeys.PREFIX_BYTE_ACCOUNT, b"s")
    user = nkeys.from_seed(bytearray(SEED.encode()))
    names = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    accounts = {
        public(account): jwt(operator, account, "account", limits={**names, **storage, "wildcards": True}),
        public(system): jwt(operator, system, "account", limits={**names, "wildcards": True}),
    }
    preload = "\n".join(f"{name}: {token}" for name, token in accounts.items())
    config = (
        f"operator: {jwt(operator, operator, 'operator')}\nsystem_account: {public(system)}\n"
        f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
    )
    with nats_with(config) as server:
        limits = {"subs": -1, "data": -1, "payload": -1}
        text = credentials(jwt(account, user, "user", **limits), SEED)
        await works(SERVERS=server.url, CREDENTIALS=written(tmp_path / "user.creds", text))


def key(prefix: int, letter: bytes) -> nkeys.KeyPair:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(letter * 32, prefix)))


def public(pair: nkeys.KeyPair) -> str:
    return str(pair.public_key.decode())


def jwt(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, kind: str, **claims: Any) -> str:
    """As the tool nsc makes them."""
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    body = {
        "jti": kind,
        "iat": 1_700_000_000,
        "iss": public(issuer),
        "sub": public(subject),
        "name": kind,
        "nats": {"type": kind, "version": 2, **claims},
    }
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, body)]
    signature = base64.urlsafe_b64encode(issuer.sign(b".".join(parts))).rstrip(b"=")
    return b".".join([*parts, signature]).decode()


# The project's own connection, and a domain ------------------------------------------------------------------

address = ""
made: list[Client] = []


async def connect(**options: Any) -> Client:
    made.append(await nats_py.connect(address, name="of the project", inbox_prefix="_INBOX_shop", **options))
    return made[-1]


async def connect_its_own_way(**_: Any) -> Client:
    made.append(await nats_py.connect(address))
    return made[-1]


async def connect_badly(**_: Any) -> Client:
    raise KeyError("HOST")


async def test_the_projects_own_connection_is_used(
    nats: Nats, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "address", nats.url)
    made.clear()
    plane = NatsBackplane({"PREFIX": prefix, "CONNECTION": f"{__name__}.connect"})
    await append(plane, "log", b"x")
    (client,) = made
    assert client.options["name"] == "of the project"
    await client.close()
    await append(plane, "log", b"y")
    assert [data for _, data in await read_all(plane, "log")] == [b"x", b"y"]
    await plane.close()
    assert [one.is_closed for one in made] == [True, True]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("connect_its_own_way", r"left out options.*\*\*options"),
        ("connect_badly", "KeyError: 'HOST'"),
        ("gone", "gone"),
    ],
)
async def test_a_connection_of_the_projects_that_does_not_suit_is_refused(
    nats: Nats, prefix: str, monkeypatch: pytest.MonkeyPatch, function: str, said: str
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "address", nats.url)
    plane = NatsBackplane({"PREFIX": prefix, "CONNECTION": f"{__name__}.{function}"})
    with pytest.raises(BackplaneUnavailable, match=said):
        await append(plane, "log", b"x")
    await plane.close()
    assert all(one.is_closed for one in made)


def test_the_options_of_logins_are_checked(tmp_path: Path) -> None:
    seed = written(tmp_path / "seed", SEED)
    assert NatsBackplane.check({"NKEY": seed, "DOMAIN": "hub", "INBOX_PREFIX": "_INBOX_shop"}) == []
    assert NatsBackplane.check({"CONNECTION": f"{__name__}.connect"}) == []
    for wrong in (
        {"NKEY": SEED},
        {"DOMAIN": "a.b"},
        {"CONNECTION": f"{__name__}.gone"},
        {"CONNECTION": f"{__name__}.written"},
        {"CONNECTION": f"{__name__}.connect", "USER": "via"},
    ):
        (found,) = NatsBackplane.check(wrong)
        assert found.id == "via_state.E024"
        assert SEED not in f"{found.msg}{found.hint}"


async def test_streams_of_another_domain_are_used_through_a_leaf(unused_tcp_port: int, prefix: str) -> None:
    hub_config = f'jetstream {{ domain: hub }}\nleafnodes {{ listen: "127.0.0.1:{unused_tcp_port}" }}'
    leaf_config = f'jetstream {{ domain: leaf }}\nleafnodes {{ remotes: [ {{ url: "nats://127.0.0.1:{unused_tcp_port}" }} ] }}'
    with nats_with(hub_config) as hub, nats_with(leaf_config) as leaf:
        plane = NatsBackplane({"SERVERS": leaf.url, "PREFIX": prefix, "DOMAIN": "hub"})
        direct = NatsBackplane({"SERVERS": hub.url, "PREFIX": prefix})
        await reached(plane)
        cursor = (await plane.changed(None)).cursor
        await append(plane, "log", b"x")
        revision = await plane.cas("cell", None, b"v")
        moved = await plane.changed(cursor)
        assert set(moved.logs) == {"log"}
        assert moved.cells == {"cell": revision}
        assert [data for _, data in await read_all(plane, "log")] == [b"x"]
        assert (await direct.load_many(["cell"]))["cell"].data == b"v"
        assert (await direct.head("log")).position == (await plane.head("log")).position
        await plane.close()
        await direct.close()


async def reached(plane: NatsBackplane) -> None:
    """The leaf has found its hub."""
    for _ in range(200):
        try:
            await plane.head("log")
            return
        except BackplaneUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("the leaf never found the hub")
