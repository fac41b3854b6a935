#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the suites of `make check`, or those of `make inspect`, side by side.

usage: check.py MAKE BUILD check|inspect

A suite is a target of the Makefile. A make of its own runs it as soon as the targets that it needs are
made. The output of a suite goes to a file in BUILD/check and is printed in one piece when the suite
ends. Meanwhile one line a minute names the suites that run and how far they are. The run fails when a
suite fails. Root can run every test after `make deps`: then a skipped test fails the run, too. The
suite of a release on which the packages of this host do not install is left out. ^C ends all suites."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "system"))
import machine

# The suites that take longest come first. Each needs the targets beside it.
SUITES = {"check": {
    "deb": [],
    "previous": ["deb"],
    "image-bookworm": [],
    "image-trixie": [],
    "check-bookworm": ["deb", "previous", "image-bookworm"],
    "check-trixie": ["deb", "previous", "image-trixie"],
    "programs": [],
    "check-integration": ["programs"],
    "check-unit": ["programs"],
    "check-fuzz": ["programs"],
    "check-packages": ["deb"],
}, "inspect": {
    "check-sanitize-quick": [],
    "check-model": [],
    "lint": [],
}}
# These compute all the time, see nice(1). The others wait for something most of the time, and come first when it is there.
# The model and lint have no deadlines: they take the time that nobody else wants.
NICE = {"check-sanitize-quick": 5, "lint": 17, "check-model": 19}
# Each suite has a session of its own, and with autogroups, see sched(7), nice(1) is for processes of one session only.
RUN_NICELY = '{ echo "$0" >/proc/self/autogroup; } 2>/dev/null; exec nice -n "$0" "$@"'
# The sanitizers have memory, files and libraries of their own, which these tests would look at.
SKIPPED_FOR_A_REASON = re.compile(r"SKIPPED .*the sanitizer")
ENDING_SECONDS = 60


def say(text):
    print(text, flush=True)


class Suite:
    """A suite that runs, or did."""

    def __init__(self, make, name, needed, directory):
        self.name = name
        self.output = directory / name
        self.begun = time.monotonic()
        # The targets that are made already are not made again.
        made = [word for target in needed for word in ("-o", target)]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                ["sh", "-c", RUN_NICELY, str(NICE.get(name, 0)), make, "--no-print-directory", *made, name],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True)

    def text(self):
        return self.output.read_text(errors="replace").strip()

    def ended(self):
        """Whether it has ended; then its processor time is known."""
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid != 0:
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.processor_seconds = usage.ru_utime + usage.ru_stime
        return pid != 0

    def progress(self):
        """How far it is, as pytest writes it, or else for how long it runs."""
        percents = re.findall(r"\[ *(\d+%)\]", self.text())
        seconds = time.monotonic() - self.begun
        return f"{self.name} {percents[-1] if percents else f'since {seconds:.0f} s'}"

    def conclude(self):
        """Prints its output. Returns the line of the summary, and whether it succeeded."""
        seconds = time.monotonic() - self.begun
        text = self.text()
        skipped = [line for line in text.splitlines() if "SKIPPED" in line]
        forbidden = [line for line in skipped if self.name != "check-sanitize-quick"
                     or not SKIPPED_FOR_A_REASON.search(line)]
        failed = self.process.returncode != 0 or (forbidden and os.geteuid() == 0)
        line = f"{'FAILED' if failed else 'ok':<7} {self.name:<20} {seconds:4.0f} s, of processor time " \
            f"{self.processor_seconds:4.0f} s"
        say("\n".join([f"=== {line}", text, *(["a test was skipped"] if forbidden else []), ""]))
        return "\n".join([line, *(f"        {one}" for one in skipped)]), not failed


def end(suites):
    """Ends suites as ^C on a terminal does, and those that do not within a minute at once."""
    for suite in suites:
        os.killpg(suite.process.pid, signal.SIGINT)
    deadline = time.monotonic() + ENDING_SECONDS
    for suite in suites:
        try:
            suite.process.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(suite.process.pid, signal.SIGKILL)


def leave_out(needs):
    """Removes the suites of releases on which the packages that this host builds do not install, with
    their images. Returns the rest, and the lines of the summary that say so."""
    lines = []
    for release in machine.RELEASES:
        if f"check-{release}" in needs and (reason := machine.refusal(release)):
            needs = {name: others for name, others in needs.items()
                     if name not in (f"check-{release}", f"image-{release}")}
            lines.append(f"LEFT OUT check-{release}: {reason}")
    return needs, lines


def run(make, needs, directory):
    """Runs the suites, which need the targets beside them. Returns the lines of the summary, and whether all succeeded."""
    waiting, running, made, lines, good = list(needs), [], set(), [], True
    begun = minute = time.monotonic()
    try:
        while waiting or running:
            for name in [name for name in waiting if made.issuperset(needs[name])]:
                waiting.remove(name)
                running.append(Suite(make, name, needs[name], directory))
            if not running:
                break
            for suite in [suite for suite in running if suite.ended()]:
                running.remove(suite)
                line, succeeded = suite.conclude()
                lines.append(line)
                good = good and succeeded
                if succeeded:
                    made.add(suite.name)
            if time.monotonic() - minute >= 60:
                minute += 60
                say(f"{time.monotonic() - begun:4.0f} s: "
                    + ", ".join(suite.progress() for suite in running))
            time.sleep(0.2)
    finally:
        end(running)
    lines += [f"NOT RUN {name}" for name in waiting]
    return lines, good and not waiting


def main():
    make, build = sys.argv[1], pathlib.Path(sys.argv[2])
    needs, left_out = leave_out(SUITES[sys.argv[3]])
    directory = build / "check"
    directory.mkdir(parents=True, exist_ok=True)
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, signal.default_int_handler)
    # The suites' makes have no part in the jobs of the make that runs this.
    os.environ["MAKEFLAGS"] = re.sub(r"(^| )(-j\d*|--jobserver-\S+)(?= |$)", "",
                                     os.environ.get("MAKEFLAGS", ""))
    os.environ["PYTHONUNBUFFERED"] = "1"
    begun = time.monotonic()
    try:
        lines, good = run(make, needs, directory)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    finally:
        subprocess.run([pathlib.Path(__file__).parent.parent / "packaging/give-back", build])
    say("\n".join([*left_out, *lines]))
    usage = os.times()
    say(f"{'ok' if good else 'FAILED'}: {time.monotonic() - begun:.0f} s, of processor time "
        f"{usage.children_user + usage.children_system:.0f} s")
    sys.exit(0 if good else 1)


main()
