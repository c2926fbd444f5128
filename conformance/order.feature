Feature: Tasks run in the order that a flow says

  Scenario: Then leads to another task, out of a list, or to the end
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - first: {set: {seen: '${ .seen + [1] }'}, then: third}
    - second: {set: {seen: '${ .seen + [2] }'}, then: end}
    - third:
        do:
        - inner: {set: {seen: '${ .seen + [3] }'}, then: exit}
        - never: {set: {seen: []}}
        then: second
    - unreached: {set: {seen: []}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    seen: [1, 3, 2]
    """
    And first should run first
    And second should run after third
    And unreached should not run

  Scenario: A switch takes the first case that holds
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - choose:
        switch:
        - small: {when: .n < 10, then: small}
        - even: {when: .n % 2 == 0, then: even}
        - other: {then: continue}
    - rest: {set: {is: rest}, then: end}
    - small: {set: {is: small}, then: end}
    - even: {set: {is: even}, then: end}
    """
    And given the workflow input is:
    """yaml
    n: 12
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    is: even
    """

  Scenario: A loop goes over items while a condition holds
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - each:
        for: {each: thing, in: .things, at: place}
        while: $place < 2
        do:
        - take: {set: {taken: '${ .taken + ["\($place) \($thing)"] }'}}
    """
    And given the workflow input is:
    """yaml
    things: [a, b, c]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    taken: [0 a, 1 b]
    """

  Scenario: Waits are of any length, written in any way
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - object: {wait: {days: 1, hours: 1, minutes: 1, seconds: 1, milliseconds: 1}}
    - text: {wait: P1DT1H}
    - computed: {wait: {seconds: '${ .s }'}}
    - over: {set: {waited: true}}
    """
    And given the workflow input is:
    """yaml
    s: 3
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    waited: true
    """
