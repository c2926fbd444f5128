Feature: What is used twice is written once

  Scenario: A function has its own input and output
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use:
      functions:
        double: {input: {from: .number}, set: '${ . * 2 }'}
    do:
    - first: {call: double, with: {number: '${ .n }'}}
    - second: {call: double, with: {number: '${ . }'}}
    """
    And given the workflow input is:
    """yaml
    n: 3
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    12
    """

  Scenario: An extension does something before and after a task, and takes no part in its data
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use:
      extensions:
      - note:
          extend: set
          when: $task.name != "quiet"
          before: [{begin: {call: kit.log.write, with: {text: '${ $task.reference }'}}}]
          after: [{over: {call: kit.log.write, with: {got: '${ . }'}}}]
      - mock:
          extend: call
          when: $task.name == "mocked"
          before: [{stand: {set: {mocked: true}, then: exit}}]
    do:
    - loud: {set: {n: 1}}
    - quiet: {set: {n: '${ .n + 1 }'}}
    - mocked: {call: kit.never.called, with: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    mocked: true
    """
    And over should run after loud
    And stand should run last
