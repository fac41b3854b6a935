# SPDX-License-Identifier: MIT
"""The mutants of a C file or a header: each changes one thing that the tests should miss.

clang parses the file and says where its conditions, numbers, calls and operators are, and what it
keeps in structures or waits for (-ast-dump=json).
What a macro expands to has no place in the file and is left alone, but for times and amounts in the
macro's own definition."""

import collections
import dataclasses
import json
import re
import subprocess

OPPOSITES = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||",
             "||": "&&", "+": "-", "-": "+", "|": "&", "&": "|", "+=": "-=", "-=": "+=", "|=": "="}
ASSIGNMENTS = {"=", "+=", "-=", "|=", "&="}
# What a call that is gone costs: time, or a descriptor.
CLOSES = {"close", "free", "munmap"}
SENTENCES = {"assert", "__assert_fail"}
# Their arguments may change places, of the first when it is about equality.
COMPARISONS = {"strcmp", "strcasecmp", "strncmp", "strncasecmp", "memcmp"}
SYMMETRIC = {"clock_earlier", "fmax", "fmin"}
# What is compared with 0 in vain: descriptor 0 is always standard input or /dev/null.
DESCRIPTOR = re.compile(r"\b(?:\w+_)?fds?(?:\[\w+\])?$")
# The variables that decide when a loop wakes up.
WAITS = {"deadline", "now", "slice", "wait"}
# How long, and how much at once, as macros and enumerations say it. A test that sees one of them
# become more often misses that it becomes less.
NAMED = r"^(?:#define| {8}) *(?=(\w+))\1(?: = | +)"
TIMES = re.compile(NAMED + r"(\(?\d+ \* CLOCK_\w+\)?|\(?CLOCK_\w+ / \d+\)?|CLOCK_\w+|"
                   r"(?<=SECONDS = )\d+|(?<=SECONDS )\d+)(?=,|$)", re.M)
AMOUNTS = re.compile(NAMED + r"(?<!SIZE )(?<!SIZE = )(?<!SECONDS )(?<!SECONDS = )"
                     r"([2-9]|[1-9]\d+|\(?(?!CLOCK_)[A-Z]\w+ / \d+\)?)(?=,|$)", re.M)


@dataclasses.dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file: the bytes from start to end become `new`."""
    file: str
    start: int
    end: int
    kind: str
    function: str
    old: str
    new: str
    # Which of several in the function, from 0.
    nth: int = 0

    def name(self):
        """What it is, whatever stands in the functions before it."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file} {self.function} {self.kind}: {old} -> {new}" \
            + (f" ({self.nth + 1})" if self.nth else "")

    def apply(self, source):
        return source[:self.start] + self.new.encode() + source[self.end:]


class Finder:
    """Walks over the functions of a file."""

    def __init__(self, file, source):
        self.file = file
        self.source = source
        self.found = []
        self.function = ""

    def place(self, node):
        """The bytes of a node, or None when a macro has a part in it."""
        begin, end = node["range"]["begin"], node["range"]["end"]
        if "offset" not in begin or "offset" not in end:
            return None
        return begin["offset"], end["offset"] + end["tokLen"]

    def add(self, kind, start, end, new):
        old = self.source[start:end].decode()
        self.found.append(Mutant(self.file, start, end, kind, self.function, old, new))

    def walk(self, node, parent=None):
        """Adds the mutants of a node and of all that are in it."""
        kind = node.get("kind")
        if kind and "range" in node:
            place = self.place(node)
            if place:
                self.look(node, kind, place, parent)
        for inner in node.get("inner", ()):
            self.walk(inner, node)

    def look(self, node, kind, place, parent):
        start, end = place
        if kind in ("BinaryOperator", "CompoundAssignOperator"):
            self.assignment(node, place, parent)
        if kind in ("IfStmt", "WhileStmt", "ConditionalOperator"):
            condition = self.place(node["inner"][0])
            if condition:
                text = self.source[slice(*condition)].decode()
                self.add("condition", *condition, f"!({text})")
        elif kind in ("BinaryOperator", "CompoundAssignOperator") and node["opcode"] in OPPOSITES:
            self.operator(node)
        elif kind == "IntegerLiteral" and not self.is_descriptor_check(parent):
            # Callers take what is not negative for success.
            zero = "-1" if parent["kind"] == "ReturnStmt" else "1"
            self.add("constant", start, end, zero if node["value"] == "0" else
                     f"({self.source[start:end].decode()} + 1)")
        if kind == "CallExpr":
            self.call(node, place, parent)

    def is_descriptor_check(self, node):
        """Whether a node tells a descriptor from a negative number."""
        left = self.place(node["inner"][0])
        return left and node.get("opcode") in ("<", ">=") and \
            node["inner"][1].get("value") == "0" and \
            DESCRIPTOR.search(self.source[slice(*left)].decode())

    def operator(self, node):
        left, right = (self.place(inner) for inner in node["inner"])
        if not left or not right or self.is_descriptor_check(node):
            return
        between = self.source[left[1]:right[0]].decode()
        if between.strip() == node["opcode"]:
            start = left[1] + between.index(node["opcode"])
            self.add("operator", start, start + len(node["opcode"]), OPPOSITES[node["opcode"]])

    def assignment(self, node, place, parent):
        """What a later turn would find in a structure, or wait for: a deadline, a state, a count."""
        if node["opcode"] not in ASSIGNMENTS or parent.get("kind") not in ("CompoundStmt", "IfStmt"):
            return
        left = node["inner"][0]
        if left["kind"] in ("MemberExpr", "ArraySubscriptExpr") or \
                left.get("referencedDecl", {}).get("name") in WAITS:
            self.add("assignment", *place, "((void)0)")

    def call(self, node, place, parent):
        callee = self.place(node["inner"][0])
        name = self.source[slice(*callee)].decode() if callee else ""
        if not name or name in SENTENCES:
            return
        is_statement = parent.get("kind") == "CompoundStmt" or parent.get("castKind") == "ToVoid"
        if is_statement:
            self.add("close" if name in CLOSES else "call", *place, "((void)0)")
        if name in SYMMETRIC or name in COMPARISONS and parent.get("opcode") in ("==", "!="):
            return
        for one, other in zip(node["inner"][1:], node["inner"][2:]):
            places = self.place(one), self.place(other)
            if all(places) and one["type"] == other["type"]:
                texts = [self.source[slice(*where)].decode() for where in places]
                between = self.source[places[0][1]:places[1][0]].decode()
                self.add("arguments", places[0][0], places[1][1], texts[1] + between + texts[0])


def mutants(file, flags):
    """All mutants of a file, in the order of their places."""
    dump = subprocess.run(["clang", *flags, "-fsyntax-only", "-Xclang", "-ast-dump=json", file],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    source = open(file, "rb").read()
    finder = Finder(file, source)
    for node in json.loads(dump)["inner"]:
        location = node.get("loc", {})
        if node["kind"] == "FunctionDecl" and "offset" in location \
                and "includedFrom" not in location \
                and any(inner["kind"] == "CompoundStmt" for inner in node.get("inner", ())):
            finder.function = node["name"]
            finder.walk(node)
    finder.function = "#define"
    text = source.decode()
    for kind, pattern in ("time", TIMES), ("amount", AMOUNTS):
        for found in pattern.finditer(text):
            start, end = (len(text[:at].encode()) for at in found.span(2))
            finder.add(kind, start, end, f"(10 * {found[2]})")
            finder.add(kind, start, end, f"({found[2]} / 10)" if kind == "time" else "1")
    numbers = collections.Counter()
    found = []
    for mutant in sorted(set(finder.found)):
        found.append(dataclasses.replace(mutant, nth=numbers[mutant.name()]))
        numbers[mutant.name()] += 1
    return found
