# SPDX-License-Identifier: MIT
"""The mutants of a C file: each changes one thing that the tests should miss.

clang parses the file and says where its conditions, numbers, calls and operators are (-ast-dump=json).
What a macro expands to has no place in the file and is left alone, but for numbers of times in the
macro's own definition."""

import dataclasses
import json
import re
import subprocess

OPPOSITES = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||",
             "||": "&&", "+": "-", "-": "+", "|": "&", "&": "|", "+=": "-=", "-=": "+=", "|=": "="}
# What a call that is gone costs: time, or a descriptor.
CLOSES = {"close", "free", "munmap"}
SENTENCES = {"assert", "__assert_fail"}
TIMES = re.compile(r"^#define \w+ \(?(\d+)[UL]* ?\* ?CLOCK_|^#define \w+_(?:SECONDS|MS|NS)\w* (\d+)",
                   re.M)


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

    def name(self):
        """What it is, whatever stands in the lines before it."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file} {self.function} {self.kind}: {old} -> {new}"

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
        if kind in ("IfStmt", "WhileStmt", "ConditionalOperator"):
            condition = self.place(node["inner"][0])
            if condition:
                text = self.source[slice(*condition)].decode()
                self.add("condition", *condition, f"!({text})")
        elif kind in ("BinaryOperator", "CompoundAssignOperator") and node["opcode"] in OPPOSITES:
            self.operator(node)
        elif kind == "IntegerLiteral":
            self.add("constant", start, end, "1" if node["value"] == "0" else
                     f"({self.source[start:end].decode()} + 1)")
        if kind == "CallExpr":
            self.call(node, place, parent)

    def operator(self, node):
        left, right = (self.place(inner) for inner in node["inner"])
        if not left or not right:
            return
        between = self.source[left[1]:right[0]].decode()
        if between.strip() == node["opcode"]:
            start = left[1] + between.index(node["opcode"])
            self.add("operator", start, start + len(node["opcode"]), OPPOSITES[node["opcode"]])

    def call(self, node, place, parent):
        callee = self.place(node["inner"][0])
        name = self.source[slice(*callee)].decode() if callee else ""
        if not name or name in SENTENCES:
            return
        is_statement = parent.get("kind") == "CompoundStmt" or parent.get("castKind") == "ToVoid"
        if is_statement:
            self.add("close" if name in CLOSES else "call", *place, "((void)0)")
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
    for found in TIMES.finditer(source.decode()):
        group = 1 if found[1] else 2
        start, end = (len(source.decode()[:at].encode()) for at in found.span(group))
        finder.add("time", start, end, found[group] + "0")
    return sorted(set(finder.found))
