"""Only a Peer's very key gets in, and whoever else tries harms nobody."""

import asyncio

import asyncssh
import pytest

from kit import subsystem


@pytest.fixture
def alpha(system):
    """A Node with a link to `beta`; it knows `mallory` too, whose part a test plays."""
    for name in ["alpha", "beta", "mallory"]:
        system.node(name)
    alpha = system.start("alpha")
    system.start("beta")
    alpha.wait_for_peer("beta")
    return alpha


async def test_a_peer_gets_in_with_its_own_key_only(system, alpha):
    mallory, stranger = system.nodes["mallory"], asyncssh.generate_private_key("ssh-ed25519")
    for name, key in [("mallory", stranger), ("nobody", mallory.key), ("beta", mallory.key)]:
        with pytest.raises(asyncssh.PermissionDenied):
            await alpha.ssh(name, key)
    async with await alpha.ssh(mallory) as connection:
        reader, _ = await subsystem(connection)
        # A frame of the kind hello.
        assert await reader.readexactly(1) == b"\x01"
    peer = await asyncio.to_thread(alpha.peer, "beta")
    assert peer["state"] == "up"


def test_noise_is_no_ssh(alpha):
    before = alpha.memory()
    for _ in range(50):
        with alpha.socket() as connection:
            connection.sendall(b"\xff" * 4096)
            # The Node closes it.
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    assert alpha.peer("beta")["state"] == "up"
    assert alpha.memory() - before < 4 << 20
