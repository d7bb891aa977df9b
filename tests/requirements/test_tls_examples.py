"""The examples of the requirements for TLS do what they should.

``001-*`` are copied from the requirements; ``002-*`` are its English copies, indented again, and
came out the same.  Only the import is changed here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from tls_peers import wires

import penstock
from penstock.streams.tls import TLSStream

EXAMPLES = Path(__file__).parent / "examples"


def read(name):
    source = (EXAMPLES / f"{name}.txt").read_text(encoding="utf-8")
    return compile(source.replace("from anyio", "from penstock"), name, "exec")


def main_of(name):
    source = (EXAMPLES / f"{name}.txt").read_text(encoding="utf-8").replace("anyio", "penstock")
    body, call, rest = source.rpartition("run(main)")
    assert call
    assert not rest.strip()
    namespace = {}
    exec(compile(body, name, "exec"), namespace)
    return namespace["main"]


@pytest.fixture
def self_signed(tmp_path, monkeypatch):
    """Make what the openssl command of the requirements makes."""
    monkeypatch.chdir(tmp_path)
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")  # the server's listener
@pytest.mark.parametrize("age", ["001", "002"])
async def test_self_signed_example_runs_as_it_stands(age, self_signed, capsys):
    async with penstock.create_task_group() as group:
        group.start_soon(main_of(f"{age}-tls-server"))
        await penstock.wait_all_tasks_blocked()
        await main_of(f"{age}-tls-client")()
        group.cancel_scope.cancel()
    assert capsys.readouterr().out == "b'Hello, Client\\n\\n'\n"


exec(read("001-tls-fixtures"))


def test_both_ages_show_the_same_fixtures():
    assert read("001-tls-fixtures").co_code == read("002-tls-fixtures").co_code


async def test_fixtures_of_the_example_serve_both_sides(server_context, client_context):
    near, far = wires()
    async with penstock.create_task_group() as group:
        serving = group.create_task(TLSStream.wrap(far, ssl_context=server_context))
        client = await TLSStream.wrap(near, hostname="localhost", ssl_context=client_context)
        server = await serving
    await client.send(b"hello")
    assert await server.receive() == b"hello"
    await near.aclose()
    await far.aclose()
