import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.cgroup import NO_CGROUP, Membership, contains, innermost_unit, is_inside, parse_cgroup
from oomguard.errors import Malformed
from oomguard.names import decode

V1 = """\
12:cpuset:/
11:memory:/system.slice/nginx.service
10:net_cls,net_prio:/
4:cpu,cpuacct:/system.slice/nginx.service
1:name=systemd:/system.slice/nginx.service
"""


@pytest.mark.parametrize(
    ("text", "unified", "systemd", "memory"),
    [
        ("0::/system.slice/nginx.service\n", "/system.slice/nginx.service", None, None),
        ("0::/\n", "/", None, None),
        ("", None, None, None),
        (V1, None, "/system.slice/nginx.service", "/system.slice/nginx.service"),
        (
            "7:memory:/docker/1\n1:name=systemd:/a.service\n0::/b.scope\n",
            "/b.scope",
            "/a.service",
            "/docker/1",
        ),
        ("3:cpu,memory:/both\n0::/\n", "/", None, "/both"),
        ("3:memory_x,xmemory:/no\n", None, None, None),
        ("2:name=mine:/no\n", None, None, None),
        ("0::/a:b::c/0::d\n", "/a:b::c/0::d", None, None),
        ("0::/../../system.slice/a.service\n", "/../../system.slice/a.service", None, None),
        ("0::/gone.service (deleted)\n", "/gone.service", None, None),
        ("7:memory:/odd (deleted)\n", None, None, "/odd (deleted)"),
        ("0::/ 'quotes' \"\\x2d\t\n", "/ 'quotes' \"\\x2d\t", None, None),
    ],
)
def test_parse(text: str, unified: str | None, systemd: str | None, memory: str | None) -> None:
    assert parse_cgroup(text.encode()) == Membership(unified=unified, systemd=systemd, memory=memory)


def test_no_cgroup() -> None:
    assert parse_cgroup(b"") == NO_CGROUP
    assert (NO_CGROUP.path, NO_CGROUP.unit) == ("/", None)


@pytest.mark.parametrize(
    "data", [b"0::/a", b"\n", b"0:/a\n", b"0::a\n", b"0::\n", b"0::/a\n\n", b"0::/a\n0::/b"]
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_cgroup(data)


@pytest.mark.parametrize(
    ("unified", "systemd", "memory", "path"),
    [
        ("/u", "/s", "/m", "/u"),
        ("/", "/s", "/m", "/s"),
        (None, "/s", "/m", "/s"),
        ("/", "/", "/m", "/m"),
        ("/", None, "/m", "/m"),
        ("/", "/", "/", "/"),
        (None, None, None, "/"),
    ],
)
def test_path_is_the_one_that_says_most(
    unified: str | None, systemd: str | None, memory: str | None, path: str
) -> None:
    assert Membership(unified=unified, systemd=systemd, memory=memory).path == path


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        (r"/system.slice/dev-disk\x2dby.service", r"dev-disk\x2dby.service"),
        ("/init.scope", "init.scope"),
        ("/system.slice/_cpu.service", "cpu.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        # What is below is the user's to name.
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/postgresql.service", "user@1000.service"),
        ("/system.slice/docker-1.scope/system.slice/postgresql.service", "docker-1.scope"),
        ("/lxc/untrusted/system.slice/postgresql.service", None),
        ("/../postgresql.service", None),
        ("/system.slice", None),
        ("/postgresql.service.d", None),
        ("/postgresql.service\n", None),
        ("/", None),
    ],
)
def test_unit(path: str, unit: str | None) -> None:
    assert Membership(unified=path, systemd=None, memory=None).unit == unit


@pytest.mark.parametrize(
    ("cgroup", "path", "inside"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a", "/ab", False),
        ("/", "/a", True),
        ("/a/b", "/a", False),
    ],
)
def test_contains(cgroup: str, path: str, inside: bool) -> None:
    assert contains(cgroup, path) is inside


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/user.slice/user@1.service/app.slice/x.scope/sub", "/user.slice/user@1.service/app.slice/x.scope"),
        ("/a.service", "/a.service"),
        ("/system.slice", None),
        ("/", None),
    ],
)
def test_innermost_unit(path: str, unit: str | None) -> None:
    assert innermost_unit(path) == unit


@given(st.binary().filter(lambda name: b"\n" not in name and not name.endswith(b" (deleted)")))
def test_names_may_hold_anything_but_newlines(name: bytes) -> None:
    membership = parse_cgroup(b"1:name=systemd:/s\n0::/" + name + b"\n")
    assert membership == Membership(unified="/" + decode(name), systemd="/s", memory=None)


@given(st.binary() | st.binary().map(lambda noise: noise + b"\n"))
def test_any_text_parses_or_is_malformed(data: bytes) -> None:
    try:
        membership = parse_cgroup(data)
    except Malformed:
        return
    assert membership.path.startswith("/")


@pytest.mark.parametrize(
    ("cgroup", "path", "inside"),
    [("/", "/a", True), ("/", "/", True), ("/", "/..", False), ("/", "/../a", False), ("/a", "/b", False)],
)
def test_nobody_outside_of_the_namespace_is_inside(cgroup: str, path: str, inside: bool) -> None:
    assert is_inside(cgroup, path) is inside
