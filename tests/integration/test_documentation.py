# SPDX-License-Identifier: MIT
"""--help, the man pages, the READMEs, the catalog and the sources agree."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("MPECHO_BUILD", SOURCE / "build"))
PAGES = {"mpecho": "packaging/mpecho.8", "mpecho-client": "packaging/mpecho-client.1",
         "check_mpecho": "packaging/check_mpecho.1"}
PROGRAMS = sorted(PAGES)
# What the plugin executes.
COMMANDS = {"check_mpecho": ["mpecho-client", "--monitor"]}


def read(path):
    return (SOURCE / path).read_text()


def numbers(text):
    """The numbers that stand alone in a text: ranges and defaults."""
    return set(re.findall(r"(?<![\w.=-])\d+(?![\w-])", text))


def options_of(parts, pattern):
    """What is said of each option, by its long name; a part is about one, or some without short
    names, and `pattern` matches where it names one."""
    return {long: (short or None, numbers(part))
            for part in parts for short, long in re.findall(pattern, part)}


def help_options(program):
    """Of --help: an option begins a line, indented by two or, without a short name, by six."""
    name, *words = COMMANDS.get(program, [program])
    text = subprocess.run([BUILD / name, *words, "--help"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    parts = re.split(r"^ {2}(?=-\w, --| {4}--)", text.rpartition("\n\n")[0], flags=re.M)[1:]
    return options_of(parts, r"(?:^-(\w), |^ {4}|(?<=[A-Z]), )--([\w-]+)")


def page_options(program):
    """Of the man page: the list in its DESCRIPTION."""
    description = read(PAGES[program]).partition(".Sh DESCRIPTION")[2].partition("\n.Sh")[0]
    text = re.sub(r"^\.Xr .*\n", "", description, flags=re.M)
    parts = re.split(r"^\.It (?=Fl)", text, flags=re.M)[1:]
    return options_of(parts, r"^(?:Fl (\w) , )?Fl -([\w-]+)")


@pytest.mark.parametrize("program", PROGRAMS)
def test_options_in_the_man_page(program):
    """--help and the man page have the same options, long and short."""
    page, said = page_options(program), help_options(program)
    assert {name: short for name, (short, _) in page.items()} == {
        name: short for name, (short, _) in said.items()}


def test_ranges_in_the_man_page():
    """--help of mpecho and mpecho(8) tell the same ranges and defaults."""
    assert page_options("mpecho") == help_options("mpecho")


def test_options_in_the_completion():
    """bash completes the options of mpecho-client that --help has."""
    completion = read("packaging/bash-completion/mpecho-client")
    assert set(re.findall(r"--([a-z][\w-]*)", completion)) == set(help_options("mpecho-client"))


def source_records():
    """Of src/report/record.c: name, priority and fields of each record by its message id."""
    text = read("src/report/record.c")
    names = dict(re.findall(r'\[FIELD_(\w+)\] =\s+\w+\("(\w+)"', text))
    groups = dict(re.findall(r"^#define (BITS_\w+)((?:.*\\\n)*.*)$", text, re.M))

    def fields(expression):
        found = {names[name] for name in re.findall(r"BIT\((\w+)\)", expression)}
        for group in re.findall(r"BITS_\w+", expression):
            found |= fields(groups[group])
        return found

    records = re.findall(r'\[RECORD_(\w+)\] = \{ "(\w{32})", LOG_(\w+),([^}]*)\}', text)
    return {message_id: (name.lower(), priority.lower(), fields(expression))
            for name, message_id, priority, expression in records}


def page_records():
    """The same of mpecho(8)."""
    text = read(PAGES["mpecho"]).partition(".Sh LOG RECORDS")[2].partition("\n.El")[0]
    records, fields = {}, {}
    for entry in re.split(r"^\.It Sy ", text, flags=re.M)[1:]:
        name, priority, message_id = re.match(r"(\w+) Pq (\w+)\n(\w{32})\n", entry).groups()
        fields[name] = set(re.findall(r"\b(?:MPECHO_\w+|ERRNO)\b", entry))
        for other in re.findall(r"the fields of (\w+)", entry):
            fields[name] |= fields[other]
        records[message_id] = (name, priority, fields[name])
    return records


def catalog():
    """Of the catalog: the text of each entry by its message id."""
    return dict(re.findall(r"^-- (\w{32})\n(.*?)(?=^-- |\Z)", read("systemd/mpecho.catalog"),
                           re.M | re.S))


def test_records_in_the_man_page():
    """mpecho(8) has each record with its message id, priority and fields, and explains these."""
    records = source_records()
    assert len(records) >= 14
    assert page_records() == records
    explained = set()
    for line in re.findall(r"^\.It Ev (.*)$", read(PAGES["mpecho"]), re.M):
        explained |= set(line.split(" , "))
    assert explained == set().union(*(fields for _, _, fields in records.values()))


def test_records_in_the_catalog():
    """The catalog explains each record, with fields that the record has."""
    records = source_records()
    assert catalog().keys() == records.keys()
    for message_id, text in catalog().items():
        assert text.startswith("Subject: ")
        name, _, fields = records[message_id]
        assert set(re.findall(r"@(\w+)@", text)) <= fields, name


def test_rooms_in_the_tour():
    """src/README.md names each room."""
    tour = read("src/README.md")
    rooms = {str(path.parent.relative_to(SOURCE / "src")) for path in (SOURCE / "src").rglob("*.h")}
    for room in rooms:
        assert f"`{room}`" in tour, room


def test_names_in_the_tour():
    """Each name of code in the tour is in the code."""
    words = {word for path in (SOURCE / "src").rglob("*.[ch]")
             for word in re.findall(r"\w+", path.read_text())}
    words |= {part for path in (SOURCE / "src").rglob("*") for part in (path.name, path.stem)}
    tour = re.findall(r"`(\w+)`", read("src/README.md"))
    assert len(tour) > 100 and not set(tour) - words


def commands(path):
    """Of a README: each command in a fenced block, with the output that follows it in a console
    block."""
    found = []
    for kind, block in re.findall(r"^```(console|sh|)\n(.*?)^```$", read(path), re.M | re.S):
        for line in block.splitlines():
            if kind == "console" and not line.startswith("$ "):
                found[-1][1].append(line)
            elif re.match(r"(\$ )?[\w./=-]+ [ -~]*$", line):
                found.append((re.sub(r"^\$ |\s+# .*", "", line), []))
    return found


READMES = sorted(str(path.relative_to(SOURCE)) for part in ("", "src/", "tests/")
                 for path in SOURCE.glob(part + ("**/" if part else "") + "README.md"))
SERVE = "/usr/sbin/mpecho 9190 &"
# These run here as they stand, see test_unit_commands().
UNIT = ["MPECHO_SEED=7 build/tests/unit/restart/test_restore",
        "make build/tests/unit/handler/test_echo && build/tests/unit/handler/test_echo"]
# No test runs these as they stand. Each has the file that runs the same, and how a line of it begins; or nothing does.
NOT_RUN = {
    "sudo make deps run": ("tests/integration/test_documentation.py", r"def test_make_run\("),
    "sudo make deps check": (".ci/run", "exec sudo make deps check inspect$"),
    "make check": (".ci/run", "exec sudo make deps check inspect$"),
    "make inspect": (".ci/run", "exec sudo make deps check inspect$"),
    "sudo make deps deb": ("tests/check.py", ' *"deb":'),
    "sudo apt install ./build/deb/mpecho_VERSION_amd64.deb ./build/deb/mpecho-client_VERSION_amd64.deb":
        ("tests/system/administrator.py", r" *self.apt\(.install., "),
    "sudo systemctl enable --now mpecho.socket":
        ("tests/system/test_lifecycle.py", r' *admin.shell\("systemctl enable --now mpecho.socket"\)'),
    "sudo systemctl restart mpecho":
        ("tests/system/test_continuity.py", r' *service.shell\("systemctl restart mpecho.service"\)'),
    "sudo systemctl enable mpecho-udp.socket":
        ("debian/tests/datagrams", r'run\("systemctl", "enable", "mpecho-udp.socket"\)'),
    "systemctl status mpecho": ("debian/tests/activation", ".* `systemctl status` shows true counts"),
    "journalctl -u mpecho": ("debian/tests/journal", r'.*run\("journalctl", "--unit=mpecho",'),
    "sudo systemctl daemon-reload": ("debian/tests/sockets", r'run\("systemctl", "daemon-reload"\)$'),
    "sudo journalctl --update-catalog": None,  # the packages' triggers do it
    "sudo make deps install": ("tests/integration/test_install.py", r"def test_modes\("),
    "sudo make uninstall": ("tests/integration/test_install.py", r"def test_below_the_prefix\("),
    "make deps": ("tests/integration/test_install.py", r"def test_tarball_builds\("),
    "make lint": ("tests/check.py", ' *"lint":'),
    "make check-model": ("tests/check.py", ' *"check-model":'),
    "make check-integration PYTEST_OPTIONS='-n 0 -k test_looks_once_more'":
        ("tests/check.py", ' *"check-integration":'),
    "sudo make deps check-trixie PYTEST_OPTIONS='-k test_lifecycle'":
        ("tests/check.py", ' *"check-trixie":'),
    "make check-quick": ("Makefile", r"\t@\$\(sanitize\) check-quick$"),
    "make bench": ("tests/integration/test_bench.py", r"def test_a_run\("),
    "sudo make deps bench": ("tests/integration/test_bench.py", r"def test_a_run\("),
    "sudo make deps bench-quick": ("tests/integration/test_bench.py", r"def test_a_run\("),
    "make coverage": None,  # minutes, like the proofs
    "make mutation": None,  # an hour
    "make check-cbmc": None,
    "sudo make deps check-cbmc": None,
}


def is_target(word):
    """Whether make has this target; a unit test is one by its source."""
    if word.startswith("build/tests/unit/"):
        return (SOURCE / word.removeprefix("build/")).with_suffix(".c").exists()
    return re.search(rf"^([\w -]* )?{re.escape(word)}[ :]", read("Makefile"), re.M) is not None


def is_test(name):
    """Whether pytest finds tests by this word: a part of the name of one, or of its file."""
    return any(name in path.name or re.search(rf"^def test_\w*{name.removeprefix('test_')}",
                                              path.read_text(), re.M)
               for path in SOURCE.glob("tests/*/test_*.py"))


def objection(command):
    """What is wrong with a command of a README that is not of mpecho-client, or None."""
    version = re.search(r"\((.*)\)", read("debian/changelog"))[1]
    general = command.replace(f"_{version}_", "_VERSION_")
    if command == SERVE or command in UNIT:
        return None
    if general not in NOT_RUN:
        return "no test runs it, and it is not listed"
    if NOT_RUN[general]:
        where, line = NOT_RUN[general]
        if not re.search(f"^{line}", read(where), re.M):
            return f"{where} does not run it"
    words = re.sub(r"PYTEST_OPTIONS='(?:-n 0 )?-k (\w+)'", r"-k=\1", command).split()
    for word in words[words.index("make") + 1:] if "make" in words else []:
        if not (is_test(word[3:]) if word.startswith("-k=") else is_target(word)):
            return f"there is no {word}"
    return None


def test_readmes_have_commands():
    """The READMEs with commands are those known to have some."""
    assert [path for path in READMES if commands(path)] == [
        "README.md", "tests/README.md", "tests/bench/README.md"]


def inline(path):
    """The commands of a README that stand in its sentences."""
    return re.findall(r"`((?:sudo )?(?:make|systemctl|journalctl) [^`]+)`", read(path))


def test_commands():
    """Each command of a README runs here, or is listed with what runs the same. All of the list is
    in a README."""
    found = [command for path in READMES for command, _ in commands(path)
             if not command.startswith("mpecho-client ")]
    found += [command for path in READMES for command in inline(path)]
    assert {command: objection(command) for command in found if objection(command)} == {}
    assert set(UNIT) | {SERVE} <= set(found)
    assert set(NOT_RUN) <= {re.sub(r"_[\d.]+-\d+_", "_VERSION_", command) for command in found}


def inline_programs(path):
    """The commands of mpecho and mpecho-client that stand in the sentences of a README."""
    return re.findall(r"`((?:/usr/sbin/)?mpecho(?:-client)? [^`]+)`", read(path))


def is_valid(command):
    """Whether mpecho takes the arguments of a command, or mpecho-client has its options: there, a
    sentence may leave out the host."""
    name, *words = command.removeprefix("/usr/sbin/").split()
    if name == "mpecho":
        return subprocess.run([BUILD / name, "--test", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT).returncode == 0
    return all(word.removeprefix("--") in help_options(name) for word in words)


def test_inline_programs():
    """Each command of mpecho or mpecho-client in a sentence of a README is valid."""
    found = [command for path in READMES for command in inline_programs(path)]
    assert {command.split()[0] for command in found} == {
        "mpecho", "/usr/sbin/mpecho", "mpecho-client"}
    assert [command for command in found if not is_valid(command)] == []


@pytest.mark.parametrize("command", ["mpecho --tets", "/usr/sbin/mpecho udp:127.0.0.1:echo:7",
                                     "mpecho-client --mtu --no-such-option"])
def test_wrong_inline_programs(command):
    """A wrong one would be found."""
    assert not is_valid(command)


@pytest.mark.parametrize("command", UNIT)
def test_unit_commands(command):
    """The commands that run a unit test succeed, and a seed is for a test that takes one."""
    command = command.rpartition(" && ")[2].replace("build/", f"{BUILD}/", 1)
    program = pathlib.Path(command.split()[-1])
    if not program.exists():
        pytest.skip("the unit tests are not built")
    subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.PIPE)
    if "MPECHO_SEED" in command:
        source = SOURCE / program.relative_to(BUILD).with_suffix(".c")
        assert '"seed.h"' in source.read_text()


@pytest.mark.parametrize("command", [
    "sudo make deps chekc", "make build/tests/unit/test_echo", "make --no-such-option check",
    "make check-integration PYTEST_OPTIONS='-n 0 -k test_of_nothing'",
    "MPECHO_SEED=7 build/tests/unit/handler/test_fork", "build/mpecho --no-such-option",
    "sudo apt install ./build/deb/mpecho_0.0.0-1_amd64.deb ./build/deb/mpecho-client_0.0.0-1_amd64.deb",
    "sudo systemctl enable mpecho.socket", "mpecho 9191 &", "iperf3 -s"])
def test_wrong_commands(command):
    """A wrong command of a README would be found."""
    assert objection(command) is not None


def test_bench_options():
    """The options of tests/bench/README.md are those of the benchmark."""
    said = subprocess.run([sys.executable, SOURCE / "tests/bench/bench.py", "--help"], text=True,
                          stdout=subprocess.PIPE, check=True).stdout
    options = set(re.findall(r"^ +(--\w+)", said, re.M))
    assert set(re.findall(r"^\| `(--\w+)", read("tests/bench/README.md"), re.M)) == (
        options - {"--help", "--quick"})


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="no systemd")
def test_make_run():
    """`make run` starts mpecho by a connection, echoes through it, and shows its records."""
    said = subprocess.run([SOURCE / "packaging/demonstrate", BUILD], text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    assert "\nHello, world.\n" in said
    log = said.partition("after a stop:\n\n")[2].splitlines()
    assert [line.split()[0] for line in (log[0], log[-1])] == ["Echoing", "Stopped"]
    assert any("14 bytes echoed" in line for line in log)


def shape(lines):
    """Lines without figures and their units."""
    return [re.sub(r"[\d.]+( ([KMG]iB/s|[mu]?s)\b)?", "#", line) for line in lines]


@pytest.fixture(name="served")
def fixture_served():
    """Runs a command of a README in a network where the service of README.md has port 9190."""
    environment = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}"}
    script = "ip link set lo up && exec " + SERVE.removeprefix("/usr/sbin/").removesuffix(" &")
    with subprocess.Popen(["unshare", "--net", "sh", "-c", script], env=environment, text=True,
                          stderr=subprocess.PIPE) as service:
        try:
            assert "Echoing" in service.stderr.readline()
            yield lambda command: subprocess.run(
                ["nsenter", f"--net=/proc/{service.pid}/ns/net", "sh", "-c", command],
                env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        finally:
            # It waits for its handlers, which a killed one would leave behind.
            service.terminate()


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
@pytest.mark.parametrize("command,output", [found for path in READMES for found in commands(path)
                                            if found[0].startswith("mpecho-client ")])
def test_client_commands(served, command, output):
    """The commands of mpecho-client in READMEs succeed, and print what is shown, with other
    figures."""
    result = served(command)
    assert result.returncode == 0, result.stdout
    if output:
        assert shape(result.stdout.splitlines()) == shape(output)


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
@pytest.mark.parametrize("command", ["mpecho-client --no-such-option 127.0.0.1:9190",
                                     "mpecho-client --check -s 1M 127.0.0.1:9191"])
def test_wrong_client_commands(served, command):
    """A wrong command of mpecho-client fails there."""
    assert served(command).returncode != 0


def test_reasons():
    """The reasons are the same in the sources, the man page and the catalog."""
    reasons = re.findall(r'\[END_\w+\] = "([\w ]+)"', read("src/report/end_reason.c"))
    assert len(reasons) == 6
    assert ", ".join(reasons) in " ".join(read(PAGES["mpecho"]).split())
    closed = next(text for message_id, text in catalog().items()
                  if source_records()[message_id][0] == "closed")
    assert re.findall(r"^([a-z ]+): ", closed, re.M) == reasons


@pytest.mark.parametrize("page", [*PAGES.values(), "packaging/mpecho-echoping.1"])
@pytest.mark.parametrize("command", [["mandoc", "-Tlint", "-Wwarning"],
                                     ["man", "--warnings", "--local-file"]], ids=["mandoc", "man"])
def test_page_is_clean(page, command):
    """mandoc and man have nothing to say about the man pages."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    result = subprocess.run([*command, SOURCE / page], capture_output=True, text=True,
                            env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
    complaints = result.stderr if command[0] == "man" else result.stdout
    assert complaints == "" and result.returncode == 0, complaints
