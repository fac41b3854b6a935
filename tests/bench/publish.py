# SPDX-License-Identifier: MIT
"""The table and the drawing of tests/bench/README.md."""

import pathlib
import shutil

README = pathlib.Path(__file__).with_name("README.md")
BEGIN, END = "<!-- make bench writes this -->\n", "<!-- until here -->\n"
DRAWING = "connections.svg"


def replaced(readme, summary):
    """The text of the README with another table."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    image = f"![Connections a second of each server]({DRAWING})\n"
    return f"{head}{BEGIN}\n{summary}\n{image}\n{END}{tail}"


def publish(directory):
    """Puts the figures of a run, in its directory, into the README and beside this file."""
    README.write_text(replaced(README.read_text(), (directory / "table.md").read_text()))
    shutil.copy(directory / DRAWING, pathlib.Path(__file__).with_name(DRAWING))
