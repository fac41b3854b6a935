# SPDX-License-Identifier: MIT
"""What is said of the figures: tables for people, on a terminal or in Markdown."""

from metrics import METRICS, SUMMARY, TABLES
from targets import TARGETS


def number(value):
    """With three digits, or all before the point."""
    # No -0.00.
    value = round(value, 2) + 0.0
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def with_spread(summary):
    """The median, and half of what the middle half of the figures spans."""
    if summary.count == 1:
        return number(summary.median)
    return f"{number(summary.median)} ±{number((summary.high - summary.low) / 2)}"


def columns(rows):
    """Rows of equal length as lines; all but the first column are aligned to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


def markdown(rows):
    """The same as a table in Markdown."""
    rows = [rows[0], ["---"] + ["---:"] * (len(rows[0]) - 1), *rows[1:]]
    return ["| " + " | ".join(row) + " |" for row in rows]


def cell(results, metric, name, base):
    """A contender's figure: a ratio to the base's, but for the base itself."""
    if metric in results.failures.get(name, {}):
        return "wrong"
    if base is None:
        found = results.summary(metric, name)
        return with_spread(found) if found else ""
    if name == base:
        found = results.summary(metric, name)
        return f"{number(found.median)} {METRICS[metric].unit}" if found else ""
    found = results.ratio(metric, name, base)
    return with_spread(found) if found else ""


def table_rows(results, table, titles):
    """The rows of a table, with its head; none if nothing in it was measured."""
    metrics = [metric for metric in table.metrics if metric in results.metrics()]
    names = [name for name in titles if any(cell(results, metric, name, table.base)
                                            for metric in metrics)]
    if table.base in names:
        names.remove(table.base)
        names.insert(0, table.base)
    if not names:
        return []
    head = ["", *(METRICS[metric].title for metric in metrics)]
    return [head] + [[titles[name], *(cell(results, metric, name, table.base)
                                      for metric in metrics)] for name in names]


def target_rows(results):
    """Each target, its figures, and whether mpecho meets it."""
    rows = [["held to", "against", "bound", "median", "quartiles", ""]]
    for target in TARGETS:
        found, met = target.judge(results)
        if found is not None:
            sign = "≥" if target.at_least else "≤"
            rows.append([target.title, target.against,
                         f"{sign} {target.bound:g} {target.unit}".rstrip(), number(found.median),
                         f"{number(found.low)}–{number(found.high)}",
                         "met" if met else "NOT MET"])
    return rows


def failure_lines(results, titles):
    """Who did not echo what was sent, when, and what was seen."""
    lines = [f"  {titles[name]}: {why}" for name, found in results.failures.items()
             for why in dict.fromkeys(found.values())]
    return ["What did not come back right scores nothing:", *lines, ""] if lines else []


def text(results, titles, heading):
    """The whole report."""
    lines = [heading, ""]
    for table in TABLES:
        rows = table_rows(results, table, titles)
        if rows:
            told = f" (ratios to {titles[table.base]})" if table.base else ""
            lines += [table.title + told, "", *columns(rows), ""]
    lines += failure_lines(results, titles)
    return "\n".join(lines + columns(target_rows(results))) + "\n"


def summary(results, titles, heading):
    """What tests/bench/README.md shows, in Markdown: the figures that matter most, and the targets."""
    lines = [heading, ""]
    rows = table_rows(results, SUMMARY, titles)
    if rows:
        metrics = [metric for metric in SUMMARY.metrics if metric in results.metrics()]
        rows[0][1:] = [METRICS[metric].alone for metric in metrics]
        lines += [*markdown(rows), ""]
    return "\n".join(lines + markdown(target_rows(results))) + "\n"
