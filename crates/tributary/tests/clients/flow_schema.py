"""Checks flows against the schema of flows with the validator that most of Python uses."""

import json
import os

import jsonschema

with open(os.environ["CASES"], encoding="utf-8") as file:
    cases = json.load(file)

jsonschema.Draft202012Validator.check_schema(cases["schema"])
validator = jsonschema.Draft202012Validator(cases["schema"])
for name, flow in cases["good"].items():
    problems = [f"{list(problem.absolute_path)}: {problem.message}" for problem in validator.iter_errors(flow)]
    assert not problems, f"{name}: {problems}"
for flow in cases["bad"]:
    assert not validator.is_valid(flow), f"it takes {flow}"
print(len(cases["good"]), len(cases["bad"]))
