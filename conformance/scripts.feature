Feature: Scripts are pure functions

  Scenario: A script has arguments, an environment and a standard input, and returns a value
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - sum:
        run:
          await: true
          script:
            language: javascript
            arguments: ['${ .name }', 2]
            environment: {REGION: eu}
            stdin: ${ .items }
            code: |
              const [name, factor] = process.argv.slice(2);
              const total = input.reduce((sum, item) => sum + item.price, 0);
              return {name, total: total * factor, region: process.env.REGION};
    """
    And given the workflow input is:
    """yaml
    {name: n, items: [{price: 2}, {price: 3}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {name: n, total: 10, region: eu}
    """

  Scenario: What a script prints is its output where it returns nothing
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - say:
        run:
          script:
            language: js
            arguments: [hello, world]
            code: |
              const [_, __, arg0, arg1] = process.argv;
              console.log('arg >', arg0, arg1)
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    "arg > hello world\n"
    """

  Scenario: A flow asks for the code and for all that was printed
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - code: {run: {return: code, script: {language: js, code: throw 1}}, export: {as: '{code: .}'}}
    - all: {run: {return: all, script: {language: js, code: "console.log('o'); console.error('e')"}}}
    - both: {set: {code: '${ $context.code }', all: '${ . }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {code: 1, all: {code: 0, stdout: "o\n", stderr: "e\n"}}
    """

  Scenario: An error of a script can be caught
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - guard:
        try: [{bad: {run: {script: {language: js, code: 'throw new Error("no")'}}}}]
        catch:
          errors: {with: {type: https://serverlessworkflow.io/spec/1.0.0/errors/runtime}}
          as: why
          do: [{note: {set: {status: '${ $why.status }', at: '${ $why.instance }'}}}]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {status: 500, at: /do/0/guard/try/0/bad}
    """

  Scenario: A script without end is ended
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - loop: {run: {script: {language: js, code: 'let s = "x"; for (;;) s += s + "1"'}}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: https://tributary.dev/errors/script_limit, status: 500}
    """

  Scenario: A script that is not awaited gives the task's input
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - unseen: {run: {await: false, script: {language: js, code: return 1}}}
    """
    And given the workflow input is:
    """yaml
    {kept: true}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {kept: true}
    """
