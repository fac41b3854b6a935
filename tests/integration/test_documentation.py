# SPDX-License-Identifier: MIT
"""What --help, the man pages, the README, the catalog and the sources say is the same."""

import os
import pathlib
import re
import shutil
import subprocess

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


def test_options_in_the_readme():
    """The README has the same options of mpecho as --help, with the same greatest values and
    defaults; where 0 turns something off, its table counts 0 as a part of the range."""
    least = {"0", "1"}
    rows = {long: (short, numbers(row) - least)
            for row in re.findall(r"^\| (`-.*)$", read("README.md"), re.M)
            for short, long in re.findall(r"(?:`-(\w)`, )?`--([\w-]+)", row)}
    expected = {long: (short or "", found - least)
                for long, (short, found) in help_options("mpecho").items()}
    assert rows == expected


def test_options_in_the_completion():
    """bash completes the options of mpecho-client that --help has."""
    completion = read("packaging/bash-completion/mpecho-client")
    assert set(re.findall(r"--([a-z][\w-]*)", completion)) == set(help_options("mpecho-client"))


def source_records():
    """Of src/report/record.c: name, priority and fields of each record by its message id."""
    text = read("src/report/record.c")
    names = dict(re.findall(r'\[FIELD_(\w+)\] = \w+\("(\w+)"', text))
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
    text = read(PAGES["mpecho"]).partition(".Sh RECORDS")[2].partition("\n.El")[0]
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


def test_records_in_the_readme():
    """The README names each record."""
    section = read("README.md").partition("## What is logged")[2].partition("\n## ")[0]
    for name, _, _ in source_records().values():
        assert re.search(rf"\b{name}\b", section), name


def test_modules_in_the_readme():
    """The README says what each module is for."""
    layout = read("README.md").partition("## How it is made")[2].partition("\n## ")[0]
    for source in sorted((SOURCE / "src").glob("**/*.c")):
        assert f"`{source.stem}`" in layout, source


def test_reasons():
    """The reasons are the same in the sources, the man page, the catalog and the README."""
    reasons = re.findall(r'\[REASON_\w+\] = "([\w ]+)"', read("src/lib/end_reason.c"))
    assert len(reasons) == 6
    for path in PAGES["mpecho"], "README.md":
        text = " ".join(read(path).split())
        assert ", ".join(reasons) in text, path
    closed = next(text for message_id, text in catalog().items()
                  if source_records()[message_id][0] == "closed")
    assert re.findall(r"^([a-z ]+): ", closed, re.M) == reasons


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("command", [["mandoc", "-Tlint", "-Wwarning"],
                                     ["man", "--warnings", "--local-file"]], ids=["mandoc", "man"])
def test_page_is_clean(program, command):
    """mandoc and man have nothing to say about the man pages."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    result = subprocess.run([*command, SOURCE / PAGES[program]], capture_output=True, text=True,
                            env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
    complaints = result.stderr if command[0] == "man" else result.stdout
    assert complaints == "" and result.returncode == 0, complaints
