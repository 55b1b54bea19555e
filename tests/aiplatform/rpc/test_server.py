"""The server as its process sees it: with gRPC's own clients, under TLS, and when it stops under load."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from aiplatform.errors import InvalidConfigurationError
from aiplatform.rpc.server import CallServer
from aiplatform.rpc.tls import server_tls
from tests.aiplatform.rpc.support import INFER, LARGE, Echo, run, serving

OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a certificate for localhost that signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "cert.pem", folder / "key.pem"


def test_calls_travel_through_tls(pem: tuple[Path, Path]) -> None:
    cert, key = pem

    async def script() -> None:
        trusted = grpc.ssl_channel_credentials(cert.read_bytes())
        async with (
            serving(Echo(), tls=server_tls(str(cert), str(key)), max_message_bytes=4 << 20) as server,
            grpc.aio.secure_channel(f"localhost:{server.port}", trusted, OPTIONS) as channel,
        ):
            ask: Any = channel.unary_unary(INFER)
            assert await ask(b"x" * 3_000_000) == b"answer to " + b"x" * 3_000_000

    run(script)


def test_tls_that_cannot_be_set_up_is_a_configuration_error(pem: tuple[Path, Path], tmp_path: Path) -> None:
    assert server_tls("", "") is None
    with pytest.raises(InvalidConfigurationError, match="GRPC_TLS_CERT"):
        server_tls(str(tmp_path / "none.pem"), str(pem[1]))
    with pytest.raises(InvalidConfigurationError, match="GRPC_TLS_CERT"):
        server_tls(str(pem[1]), str(pem[0]))


def test_grpcs_threaded_client_asks_from_many_threads() -> None:
    async def script() -> None:
        async with serving(Echo()) as server:
            channel = grpc.insecure_channel(f"127.0.0.1:{server.port}", OPTIONS)
            ask: Any = channel.unary_unary(INFER)

            def many(number: int) -> set[bytes]:
                return {ask(b"%d" % number, timeout=20, compression=grpc.Compression.Gzip) for _ in range(30)}

            found = await asyncio.gather(*(asyncio.to_thread(many, number) for number in range(8)))
            assert found == [{b"answer to %d" % number} for number in range(8)]
            channel.close()

    run(script)


def test_a_large_answer_reaches_grpcs_client() -> None:
    async def script() -> None:
        options = (*OPTIONS, ("grpc.max_receive_message_length", -1))
        async with serving(Echo()) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options) as channel:
            ask: Any = channel.unary_unary(LARGE)
            assert len(await ask(b"20000000")) == 20_000_000

    run(script)


def test_a_server_that_stops_under_load_fails_no_call() -> None:
    """Two servers share a port, as workers do; one after the other is replaced while clients ask without a pause."""

    async def script() -> None:
        first = CallServer(Echo(), bind="127.0.0.1:0", max_message_bytes=1 << 20)
        await first.start()
        address = f"127.0.0.1:{first.port}"
        servers = [first, CallServer(Echo(), bind=address, max_message_bytes=1 << 20)]
        await servers[1].start()
        is_over, answered = asyncio.Event(), 0

        async def ask_on_a_connection(number: int) -> None:
            nonlocal answered
            async with grpc.aio.insecure_channel(address, (*OPTIONS, ("test.number", number))) as channel:
                ask: Any = channel.unary_unary(INFER)
                while not is_over.is_set():
                    assert await ask(b"x") == b"answer to x"
                    answered += 1

        clients = [asyncio.create_task(ask_on_a_connection(number)) for number in range(16)]
        for _ in range(4):
            await asyncio.sleep(0.2)
            servers.append(CallServer(Echo(), bind=address, max_message_bytes=1 << 20))
            await servers[-1].start()
            await servers.pop(0).stop(5)
        is_over.set()
        await asyncio.gather(*clients)
        for server in servers:
            await server.stop(1)
        assert answered > 200

    run(script)
