Feature: Branches go on at the same time

  Scenario: All branches give their outputs in order
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - both:
        fork:
          branches:
          - slow: {do: [{pause: {wait: PT5S}}, {a: {set: {is: a}}}]}
          - quick: {set: {is: b}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [{is: a}, {is: b}]
    """
    And quick should run after slow
    And a should run last

  Scenario: The first branch that ends wins
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - race:
        fork:
          compete: true
          branches:
          - slow: {do: [{long: {wait: PT5S}}, {a: {set: {is: a}}}]}
          - quick: {do: [{short: {wait: PT1S}}, {b: {set: {is: b}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    is: b
    """
    And a should not run

  Scenario: A fault in one branch ends the others
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - guard:
        try:
        - both:
            fork:
              branches:
              - bad: {raise: {error: {type: https://kit.test/bad, status: 418}}}
              - never: {do: [{pause: {wait: PT1S}}, {late: {set: {x: 1}}}]}
        catch: {as: why, do: [{note: {set: {status: '${ $why.status }', at: '${ $why.instance }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {status: 418, at: /do/0/guard/try/0/both/fork/branches/0/bad}
    """
    And late should not run

  Scenario: A task that takes too long fails
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use: {timeouts: {short: {after: {seconds: 1}}}}
    do:
    - guard:
        try: [{slow: {timeout: short, do: [{long: {wait: PT1H}}]}}]
        catch:
          errors: {with: {type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout, status: 408}}
          do: [{note: {set: {late: true}}}]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    late: true
    """

  Scenario: A flow that takes too long fails
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    timeout: {after: PT1M}
    do:
    - long: {wait: PT1H}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout, status: 408}
    """
