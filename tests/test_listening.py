from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oomguard.config import Address
from oomguard.errors import OomguardError
from oomguard.listening import inherited, listen


@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1", "Address already in use"), ("192.0.2.1", "Cannot assign"), ("no.such.host.invalid", "")],
)
def test_an_address_that_cannot_be_had_is_named_in_one_line(host: str, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OomguardError, match=f"cannot listen on {host} port {port}: .*{words}") as caught:
            listen(Address(host=host, port=port))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_families_are_listened_on(host: str) -> None:
    (listening,) = listen(Address(host=host, port=0))
    with listening, socket.create_connection(listening.getsockname()[:2], timeout=5):
        assert not listening.getblocking()
        assert not listening.get_inheritable()


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}],
    ids=["none", "no pid", "for another"],
)
def test_sockets_for_others_are_let_be(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert inherited() == ()


CHILD = """
import os
from oomguard.errors import OomguardError
from oomguard.listening import inherited
os.environ["LISTEN_PID"] = str(os.getpid())
try:
    print([(given.getsockname(), given.getblocking(), given.get_inheritable()) for given in inherited()])
except OomguardError as error:
    print(error)
"""


def adopted(*given: int) -> str:
    """What a child says that starts with `given` from descriptor 3 on, as systemd starts it."""
    parking = [os.dup(descriptor) for descriptor in given]
    script = " ".join(f"{3 + number}<&{descriptor}" for number, descriptor in enumerate(parking))
    command = f'exec "{sys.executable}" -c "$0" {script}'
    try:
        done = subprocess.run(
            ("bash", "-c", command, CHILD),
            env={**os.environ, "LISTEN_FDS": str(len(given))},
            pass_fds=parking,
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        for descriptor in parking:
            os.close(descriptor)
    return done.stdout


def test_the_sockets_of_a_unit_are_taken_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "socket"))
        other.listen()
        expected = [(one.getsockname(), False, False), (other.getsockname(), False, False)]
        assert adopted(one.fileno(), other.fileno()) == f"{expected}\n"


def test_a_socket_that_nobody_can_connect_to_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        assert "descriptor 3 of the socket unit does not listen: use ListenStream=" in adopted(deaf.fileno())
    with open("/dev/null") as null:
        assert "descriptor 3 of the socket unit: Socket operation on non-socket" in adopted(null.fileno())
