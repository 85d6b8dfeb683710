"""The command line: words in, a function called, an exit code out.

0 well, 1 a finding or a failure, 2 wrong use. What a command prints goes to standard output, messages go
to standard error. Each command loads only what it needs, which is what keeps the guard itself small.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from oomguard import __version__
from oomguard.badness import Policy
from oomguard.config import Address, listen_address, load, parse_address, record_path
from oomguard.errors import OomguardError
from oomguard.event import Mode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except OomguardError as error:
        sys.stderr.write(f"oomguard: {error}\n".replace("\n", "\noomguard: ").removesuffix("oomguard: "))
        return 1
    except BrokenPipeError:
        # Whoever read us has enough; nothing is left to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="oomguard", description="Ends the right process before a Linux host freezes for want of memory."
    )
    parser.add_argument("--version", action="version", version=f"oomguard {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _command(commands, "run", _run, "guard this host")
    run.add_argument("--dry-run", action="store_true", help="decide everything, signal nobody")
    run.add_argument(
        "--metrics",
        type=_address,
        metavar="ADDR:PORT",
        help="serve Prometheus metrics there, from a child process",
    )

    exporter = _command(
        commands, "exporter", _exporter, "serve what the guard recorded as Prometheus metrics"
    )
    way = exporter.add_mutually_exclusive_group()
    way.add_argument("--listen", type=_address, metavar="ADDR:PORT", help="instead of [metrics] listen")
    exporter.add_argument(
        "--web-config", metavar="F", help="TLS, users and headers, in the format of Prometheus's own tools"
    )
    way.add_argument("--textfile", type=Path, metavar="F", help="write the metrics to F once, and end")
    way.add_argument("--push", metavar="URL", help="push the metrics to a Pushgateway once, and end")
    exporter.add_argument(
        "--push-login", metavar="F", help="a file that holds user:password for the Pushgateway"
    )
    exporter.add_argument("--record-fd", type=int, help=argparse.SUPPRESS)

    _command(commands, "hooks", _hooks, "run the commands of [[hook]] for what the guard records")

    check = _command(
        commands, "check", _check, "say whether the configuration is valid, and what is risky in it"
    )
    check.add_argument("--print", action="store_true", help="print all of it, defaults included")

    rank = _command(commands, "rank", _rank, "print who would die, in which order")
    rank.add_argument(
        "--policy",
        type=Policy,
        choices=tuple(Policy),
        help="instead of [victim] policy; culprit looks twice, 2 s apart, to see who grows",
    )
    rank.add_argument("-n", type=_count, metavar="N", help="only the first N")
    rank.add_argument("--json", action="store_true", help="print one JSON document")
    rank.add_argument("--explain", type=_count, metavar="PID", help="take the badness of one process apart")

    status = _command(commands, "status", _status, "show what the guard sees and does")
    status.add_argument("--json", action="store_true", help="print one JSON document")

    doctor = _command(commands, "doctor", _doctor, "say what on this host keeps a guard from its work")
    doctor.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.add_argument("--config", metavar="F", help="instead of /etc/oomguard/oomguard.toml")
    parser.set_defaults(command=command)
    return parser


def _run(options: argparse.Namespace) -> int:
    from oomguard.launch import launch

    launch(options.config, Mode.DRY_RUN if options.dry_run else None, options.metrics)


def _exporter(options: argparse.Namespace) -> int:
    from oomguard.reader import Reader

    if options.push_login is not None and options.push is None:
        sys.stderr.write("oomguard: --push-login goes with --push\n")
        return 2
    kept_at = record_path(options.config)

    def record() -> Reader:
        return Reader.open(kept_at)

    if options.record_fd is not None:
        from oomguard import exporter

        exporter.serve_for_parent(lambda: Reader.from_fd(os.dup(options.record_fd)), options.listen, parent=0)
    elif options.textfile is not None:
        from oomguard import collector

        collector.write_textfile(record, options.textfile)
    elif options.push is not None:
        from oomguard import collector, gateway

        login = None if options.push_login is None else gateway.read_login(options.push_login)
        gateway.push(collector.Exporting(record).exposition(""), options.push, os.uname().nodename, login)
    else:
        from oomguard import exporter

        exporter.serve(record, options.listen or listen_address(options.config), options.web_config)
    return 0


def _hooks(options: argparse.Namespace) -> int:
    from oomguard import hooks

    # It leaves the folder that it was started in.
    path = None if options.config is None else os.path.abspath(options.config)
    hooks.serve(lambda: load(path))


def _check(options: argparse.Namespace) -> int:
    from oomguard import check
    from oomguard.procfs import ProcFS

    command = check.show if options.print else check.check
    return command(options.config, ProcFS().memory(), sys.stdout, sys.stderr)


def _rank(options: argparse.Namespace) -> int:
    from oomguard import listing, rank
    from oomguard.procfs import ProcFS
    from oomguard.units import Pid

    config = load(options.config)
    policy = options.policy or config.policy
    host = rank.survey(config, policy, ProcFS())
    if options.explain is not None:
        explained = rank.explanation(host, policy, Pid(options.explain))
        shown = (
            listing.explanation_as_json(explained)
            if options.json
            else listing.explanation_as_table(explained)
        )
    else:
        view = rank.view(host, policy, options.n)
        shown = listing.as_json(view) if options.json else listing.as_table(view)
    sys.stdout.write(f"{shown}\n")
    return 0


def _status(options: argparse.Namespace) -> int:
    from oomguard import status

    seen = status.look(record_path(options.config))
    sys.stdout.write(f"{status.document(seen)}\n" if options.json else status.words(seen))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from oomguard import doctor
    from oomguard.examination import Examiner
    from oomguard.finding import is_well

    found = doctor.diagnose(options.config, Examiner())
    sys.stdout.write(f"{doctor.document(found)}\n" if options.json else doctor.words(found))
    return 0 if is_well(found) else 1


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)
