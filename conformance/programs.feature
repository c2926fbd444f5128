Feature: Programs, where the operator allows them

  Scenario: A command has arguments, an environment and a standard input, and its output is what it prints
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - say:
        run:
          shell:
            command: cat; echo "$REGION"
            arguments: ['${ .name }', two words]
            environment: {REGION: eu}
            stdin: 'in: '
    """
    And given the workflow input is:
    """yaml
    {name: n}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "in: eu n two words\n"
    """

  Scenario: The code of a command, and all that it printed
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - code: {run: {return: code, shell: {command: exit 3}}, export: {as: '{code: .}'}}
    - all: {run: {return: all, shell: {command: 'echo o; echo e >&2', arguments: {}}}}
    - both: {set: {code: '${ $context.code }', all: '${ . }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {code: 3, all: {code: 0, stdout: "o\n", stderr: "e\n"}}
    """

  Scenario: A command that fails is a fault
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - attempt:
        try: [{fail: {run: {shell: {command: 'echo why >&2; exit 4'}}}}]
        catch: {as: problem, do: [{keep: {set: {code: '${ $problem.data.code }', detail: '${ $problem.detail }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {code: 4, detail: 'the program ended with code 4: why'}
    """

  Scenario: A container is told the same
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - say:
        run:
          container:
            image: kit/shell
            command: cat; echo "$REGION"
            arguments: {greeting: hello}
            environment: {REGION: eu}
            stdin: '${ .text }'
            pullPolicy: never
            lifetime: {cleanup: always}
    """
    And given the workflow input is:
    """yaml
    {text: 'in: '}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "in: eu greeting=hello\n"
    """
