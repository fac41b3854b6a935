#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""bench.py [--quick] BUILD: measures mpecho, built in BUILD, against other echo servers.

Prints tables, and writes them, all figures and drawings to BUILD/bench or, if quick, to
BUILD/bench-quick."""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import signal
import sys
import time


def parse_arguments():
    parser = argparse.ArgumentParser(description="measures mpecho against other echo servers")
    parser.add_argument("build", type=pathlib.Path, help="where mpecho was built")
    parser.add_argument("--quick", action="store_true",
                        help="about a minute, and the baselines only")
    parser.add_argument("--before", type=pathlib.Path, metavar="MPECHO",
                        help="another mpecho to measure beside it")
    parser.add_argument("--rounds", type=int, help="how many, instead of what suits")
    parser.add_argument("--publish", action="store_true",
                        help="write the table and a drawing to tests/bench")
    parser.add_argument("--output", type=pathlib.Path, metavar="DIRECTORY",
                        help="where to write, instead of in BUILD")
    parser.add_argument("--only", metavar="FIGURE,...", help="only what gives these figures")
    return parser.parse_args()


def choose_phases(arguments):
    import booted
    import plan
    if arguments.quick:
        return plan.quick(arguments.before)
    phases = plan.full(arguments.before)
    if reason := booted.missing():
        print(f"bench: nothing is measured on a booted machine: {reason}", file=sys.stderr)
        return phases
    # With the network of this process, which it will leave.
    return [*phases, booted.phase(booted.prepare(arguments.build.resolve()))]


def restrict(phases, arguments):
    """The phases that are left when not everything is wanted."""
    import dataclasses
    for phase in phases:
        measures = phase.measures
        if arguments.only:
            measures = [measure for measure in measures
                        if any(measure.gives(name) for name in arguments.only.split(","))]
        if measures:
            phase = dataclasses.replace(phase, measures=measures)
            if arguments.rounds:
                phase = dataclasses.replace(phase, seconds=0, least=arguments.rounds)
            yield phase


def main():
    arguments = parse_arguments()
    # What ends it has to pass where servers and machines are ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["MPECHO_BUILD"] = str(arguments.build.resolve())
    import surroundings
    if reason := surroundings.missing():
        sys.exit(f"bench: {reason}")

    # They look for the programs in MPECHO_BUILD.
    import plan
    from figures import Results
    phases = list(restrict(choose_phases(arguments), arguments))
    surroundings.enter()
    results, began = Results(), time.monotonic()
    try:
        for phase in phases:
            phase.run(results)
    finally:
        # Also what there is when it ends early.
        heading = (f"{datetime.date.today()}, {surroundings.description()}; "
                   f"{time.monotonic() - began:.0f} s")
        write(output_directory(arguments), results, plan.titles(phases), heading)
    if arguments.publish:
        import publish
        publish.publish(output_directory(arguments))


def output_directory(arguments):
    return arguments.output or arguments.build / ("bench-quick" if arguments.quick else "bench")


def write(output, results, titles, heading):
    """The table, also to the terminal; all figures; and drawings, where there is gnuplot."""
    import plots
    import report
    text = report.text(results, titles, heading)
    print(text, end="")
    output.mkdir(exist_ok=True)
    (output / "table.txt").write_text(text)
    (output / "table.md").write_text(report.summary(results, titles, heading))
    (output / "bench.json").write_text(json.dumps(
        {"heading": heading, "titles": titles, "figures": results.as_object(),
         "failures": results.failures}, indent=1) + "\n")
    if shutil.which("gnuplot"):
        plots.draw_all(results, titles, output)


if __name__ == "__main__":
    main()
