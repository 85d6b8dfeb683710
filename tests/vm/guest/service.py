"""The units: start, reload, fail, come back, stop; and what they are allowed to do."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import EXPORTER, GUARD, OOMGUARD, counter, journal, metrics, status
from tests.vm.guest.host import run, until


@check(limit=120)
def units_are_clean() -> None:
    complaints = run("systemd-analyze", "verify", "--man=no", *guard.UNITS)
    assert not complaints, complaints


@check(limit=120)
def starts_and_says_ready() -> None:
    guard.install("")
    assert GUARD["ActiveState"] == "active", GUARD["ActiveState"]
    assert GUARD["StatusText"], "no STATUS= was sent"
    assert status()["state"]["phase"] == "calm", status()["state"]


@check()
def exporter_serves_metrics() -> None:
    until(lambda: "oomguard_polls_total" in metrics(), "metrics")


@check()
def guard_is_small() -> None:
    lines = Path(f"/proc/{GUARD.pid}/status").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("Vm", "Rss"))}
    assert sizes["VmRSS"] <= 14.5 * (1 << 10), sizes


@check()
def guard_cannot_be_killed_by_the_kernel() -> None:
    assert Path(f"/proc/{GUARD.pid}/oom_score").read_text() == "0\n"
    locked = re.search(r"VmLck:\s+(\d+) kB", Path(f"/proc/{GUARD.pid}/status").read_text())
    assert locked, "no VmLck"
    assert int(locked[1]) > 0, "nothing is locked"


@check()
def exporter_has_no_privileges() -> None:
    lines = Path(f"/proc/{EXPORTER.pid}/status").read_text().splitlines()
    words = {line.split(":")[0]: line.split()[1:] for line in lines}
    assert set(words["CapEff"] + words["CapBnd"]) == {"0000000000000000"}, words
    assert "0" not in words["Uid"] + words["Gid"], words


@check(limit=120)
def units_are_locked_up() -> None:
    for unit, most in ((GUARD, 3.0), (EXPORTER, 2.0)):
        told = run("systemd-analyze", "security", "--no-pager", unit.name).splitlines()[-1]
        exposure = re.search(r"exposure level for \S+: ([0-9.]+)", told)
        assert exposure, told
        assert float(exposure[1]) <= most, told


@check()
def reload_puts_a_new_configuration_in_force() -> None:
    pid = GUARD.pid
    guard.reload('mode = "dry-run"\n')
    until(lambda: status()["state"]["mode"] == "dry-run", "dry run")
    assert GUARD.pid == pid


@check()
def reload_refuses_a_bad_configuration() -> None:
    pid, refused = GUARD.pid, counter("config_reloads", result="refused")
    guard.reload('mode = "enforce"\nbanana = 1\n')
    until(lambda: counter("config_reloads", result="refused") == refused + 1, "the refusal")
    assert status()["state"]["mode"] == "dry-run", "the old configuration is gone"
    assert GUARD.pid == pid
    assert GUARD["ActiveState"] == "active", GUARD["ActiveState"]
    until(lambda: "banana" in journal(GUARD), "the bad key in the journal")
    assert "a newer one was refused" in run(OOMGUARD, "status")
    until(lambda: "\noomguard_config_last_reload_successful 0.0\n" in metrics(), "the same in the metrics")
    assert f'\noomguard_config_reloads_total{{result="refused"}} {refused + 1}.0\n' in metrics()
    guard.reload("")
    until(lambda: status()["state"]["mode"] == "enforce", "enforcing again")


@check()
def exporter_dies_and_the_guard_does_not_notice() -> None:
    guard_pid, exporter_pid, polls = GUARD.pid, EXPORTER.pid, counter("polls")
    run("systemctl", "kill", "--signal=KILL", EXPORTER.name)
    until(lambda: EXPORTER.pid not in {0, exporter_pid}, "another exporter")
    until(lambda: "oomguard_polls_total" in metrics(), "metrics again")
    assert GUARD.pid == guard_pid
    assert counter("polls") > polls


@check()
def exporter_starts_with_the_first_scrape_of_its_socket() -> None:
    run("systemctl", "stop", EXPORTER.name)
    assert metrics() == "", "somebody else serves metrics"
    run("systemctl", "start", "oomguard-exporter.socket")
    assert EXPORTER.pid == 0, "started before anybody asked"
    until(lambda: "\noomguard_up 1.0\n" in metrics(), "metrics")
    assert EXPORTER.pid != 0
    run("systemctl", "stop", "oomguard-exporter.socket", EXPORTER.name)
    run("systemctl", "start", EXPORTER.name)
    until(lambda: "\noomguard_up 1.0\n" in metrics(), "metrics from its own socket")


@check()
def text_file_is_there_for_node_exporter() -> None:
    file = Path("/var/lib/prometheus/node-exporter/oomguard.prom")
    file.parent.mkdir(parents=True, exist_ok=True)
    run("systemctl", "start", "oomguard-textfile.service")
    assert "\noomguard_up 1.0\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644, oct(file.stat().st_mode)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@check()
def metrics_are_pushed() -> None:
    noted: list[str] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:  # the name is the base class's
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            noted.extend((self.path, body, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()

    login = Path("/etc/oomguard/push-login")
    login.write_text("user:password\n")
    login.chmod(0o600)
    dropin = Path("/run/systemd/system/oomguard-push.service.d/login.conf")
    dropin.parent.mkdir(parents=True, exist_ok=True)
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        Path("/etc/oomguard/push.env").write_text(f"OOMGUARD_PUSH_URL={url}\n")
        dropin.write_text(
            "[Service]\nLoadCredential=push-login:/etc/oomguard/push-login\nExecStart=\n"
            f"ExecStart={OOMGUARD} exporter --push ${{OOMGUARD_PUSH_URL}} --push-login %d/push-login\n"
        )
        run("systemctl", "daemon-reload")
        thread = Thread(target=server.handle_request)
        thread.start()
        run("systemctl", "start", "oomguard-push.service")
        thread.join()
    path, body, authorization = noted
    assert path.startswith("/metrics/job/oomguard/instance/"), path
    assert "\noomguard_up 1.0\n" in body
    assert authorization == "Basic dXNlcjpwYXNzd29yZA==", authorization


@check()
def guard_comes_back_with_its_counters() -> None:
    pid, polls, accepted = GUARD.pid, counter("polls"), counter("config_reloads", result="accepted")
    assert polls > 0
    run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", GUARD.name)
    guard.comes_back(pid)
    assert counter("polls") >= polls
    assert counter("config_reloads", result="accepted") == accepted


@check(limit=180)
def watchdog_ends_a_guard_that_hangs() -> None:
    drop_in = Path(f"/run/systemd/system/{GUARD.name}.d/watchdog.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nWatchdogSec=10\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", GUARD.name)
    pid, polls = GUARD.pid, counter("polls")
    run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", GUARD.name)
    guard.comes_back(pid)
    drop_in.unlink()
    run("systemctl", "daemon-reload")
    assert "watchdog" in journal(GUARD).lower(), "it was not the watchdog"
    assert counter("polls") >= polls


@check()
def stops_cleanly() -> None:
    run("systemctl", "stop", EXPORTER.name, GUARD.name)
    for unit in (GUARD, EXPORTER):
        assert unit["ActiveState"] == "inactive", (unit.name, unit["ActiveState"])
        assert unit["Result"] == "success", (unit.name, unit["Result"])
    leftovers = [pid for pid in _pids() if OOMGUARD.encode() in _cmdline(pid)]
    assert not leftovers, leftovers


@check()
def does_not_start_with_a_bad_configuration() -> None:
    guard.CONFIG.write_text("banana = 1\n")
    run("systemctl", "start", "--no-block", GUARD.name)
    until(lambda: GUARD["Result"] == "exit-code", "the failure")
    assert "banana" in journal(GUARD)
    guard.CONFIG.write_text("")
    until(lambda: GUARD["ActiveState"] == "active", "a guard, once the file is right")


def _pids() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _cmdline(pid: Path) -> bytes:
    try:
        return (pid / "cmdline").read_bytes()
    except FileNotFoundError:
        return b""
