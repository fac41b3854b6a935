#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Says how much of src/ the tests reached, by room: lines, branches and, from gcc 14 on, conditions.

usage: report.py BUILD

BUILD has the objects and counts of `make coverage`. A line that is not whole goes to BUILD/missing,
with its text and the conditions of it that were never true or never false. The lines of the file
`exceptions` do not count, nor does the failure of an assert(3). Names the files whose conditions are
below the limit. Fails when a figure is below its limit, or when an exception matches no line or more
than one."""

import collections
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
SRC = HERE.parents[1] / "src"
KINDS = ["lines", "branches", "conditions"]

# They read untrusted bytes: of peers, of other processes, and from systemd's store. Of the parsers of options only those
# of lib are here, which any program can use.
PARSERS = {"handler/datagram.c", "handler/guard.c", "handler/proxy.c", "lib/fdpass.c",
           "lib/number.c", "lib/endpoint.c", "lib/address.c", "lib/option.c", "restart/bundle.c",
           "restart/fdstore.c", "restart/ledger.c", "restart/legacy.c", "restart/unsent.c",
           "handler/scrape.c", "server/answers.c", "client/content/foreign.c",
           "client/content/payload.c", "client/network/rejection.c"}
# In percent, of unit and integration tests together.
LIMITS = {"parsers": {"lines": 98, "branches": 95, "conditions": 100},
          "all": {"lines": 95, "branches": 88, "conditions": 95}}


def read_exceptions():
    """The texts of lines that do not count, by file, some with their function. Each has a reason,
    which people read."""
    found = collections.defaultdict(set)
    for line in (HERE / "exceptions").read_text().splitlines():
        if line and not line.startswith("#"):
            name, code, reason = line.split(" @@ ")
            assert reason, line
            found[name].add(code)
    return found


def read_counts(build):
    """What gcov(1) says of each line, by file of src/."""
    gcov = [*os.environ.get("GCOV", "gcov").split(), "--json-format", "--stdout",
            "--branch-probabilities"]
    if "--conditions" in subprocess.run([*gcov, "--help"], check=True, text=True,
                                        stdout=subprocess.PIPE).stdout:
        gcov.append("--conditions")
    counts = collections.defaultdict(lambda: collections.defaultdict(list))
    # A file of which no program ran anything has notes alone.
    notes = sorted(map(str, (build / "src").rglob("*.gcno")))
    output = subprocess.run([*gcov, *notes], check=True, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL).stdout
    for document in output.splitlines():
        for file in json.loads(document)["files"]:
            path = pathlib.Path(file["file"])
            if path.parts[0] == "src":
                for line in file["lines"]:
                    counts[str(path.relative_to("src"))][line["line_number"]].append(line)
    return counts


def count_line(entries):
    """How many lines, branches and conditions are reached, and how many there are. A header's line
    has an entry for each file that includes it: the best one counts."""
    def best(pairs):
        return max(pairs, key=lambda pair: (pair[0] - pair[1], pair[0]), default=(0, 0))

    branches = [[branch["count"] > 0 for branch in entry["branches"]] for entry in entries]
    conditions = [[(one["covered"], one["count"]) for one in entry.get("conditions", [])]
                  for entry in entries]
    return {"lines": (int(any(entry["count"] > 0 for entry in entries)), 1),
            "branches": best([(sum(one), len(one)) for one in branches]),
            "conditions": best([(sum(pair[0] for pair in one), sum(pair[1] for pair in one))
                                for one in conditions])}


def undecided(entries):
    """Which conditions of a line were never true, and which never false, counted from 1."""
    conditions = [one for entry in entries[:1] for one in entry.get("conditions", [])]
    return "".join(f" [{number + 1} never {value}]" for one in conditions
                   for value in ("true", "false") for number in one[f"not_covered_{value}"])


def count_file(name, lines, exceptions, missing):
    """The sums of a file, and how many lines each exception matches; writes to missing what is not
    whole."""
    sums = {kind: [0, 0] for kind in KINDS}
    texts = (SRC / name).read_text().splitlines()
    matches = dict.fromkeys(exceptions, 0)
    for number, entries in sorted(lines.items()):
        text = texts[number - 1].strip()
        names = {text, f"{entries[0].get('function_name')}(): {text}"} & exceptions
        for code in names:
            matches[code] += 1
        if names or text.startswith("assert("):
            continue
        line = count_line(entries)
        for kind, (reached, there) in line.items():
            sums[kind][0] += reached
            sums[kind][1] += there
        poor = [f"{kind} {reached}/{there}" for kind, (reached, there) in line.items()
                if reached < there and (kind != "branches" or line["lines"][0])]
        if poor:
            missing.write(f"src/{name}:{number}: {', '.join(poor)}{undecided(entries)}: {text}\n")
    return sums, matches


def percent(pair):
    return 100 * pair[0] / pair[1] if pair[1] else None


def below(name, sums):
    """Says that the conditions of a file are below the limit, or nothing."""
    reached, there = sums["conditions"]
    limit = LIMITS["parsers" if name in PARSERS else "all"]["conditions"]
    if 100 * reached >= limit * there:
        return ""
    return f"below {limit} %: src/{name}: conditions {reached}/{there}\n"


def show_rooms(rooms):
    """Prints the sums of each room; returns whether all are as high as their limits."""
    good = True
    print(f"{'':16}" + "".join(f"{kind:>24}" for kind in KINDS))
    for room in sorted(rooms, key=lambda room: (room in LIMITS, room)):
        cells = []
        for kind in KINDS:
            pair, share = rooms[room][kind], percent(rooms[room][kind])
            cells.append("-" if share is None else f"{pair[0]}/{pair[1]} {share:5.1f} %")
            limit = LIMITS.get(room, {}).get(kind, 0)
            if limit > 0 and (share is None or share < limit):
                cells[-1] = f"below {limit} %: {cells[-1]}"
                good = False
        print(f"{room:16}" + "".join(f"{cell:>24}" for cell in cells))
    return good


def main():
    build = pathlib.Path(sys.argv[1])
    exceptions = read_exceptions()
    rooms = collections.defaultdict(lambda: {kind: [0, 0] for kind in KINDS})
    good = True
    poor = ""
    counts = read_counts(build)
    with (build / "missing").open("w") as missing:
        for name in sorted(counts):
            sums, matches = count_file(name, counts[name], exceptions[name], missing)
            poor += below(name, sums)
            for code, lines in matches.items():
                if lines != 1:
                    print(f"exceptions: src/{name} has {lines} lines '{code}'")
                    good = False
            groups = ["all", name.rpartition("/")[0] or name] + ["parsers"] * (name in PARSERS)
            for group in groups:
                for kind in KINDS:
                    for i in range(2):
                        rooms[group][kind][i] += sums[kind][i]
    good = show_rooms(rooms) and good
    print(f"{poor}What is missing: {build / 'missing'}")
    sys.exit(0 if good else 1)


main()
