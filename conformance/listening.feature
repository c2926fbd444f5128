Feature: Flows listen for events

  Scenario: One event, by what it is and by what it has in common with the run
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - hear: {listen: {to: {one: {with: {type: billing.paid, source: billing, subject: in_1, data: '${ .n > 1 }'}, correlate: {order: {from: .data.order, expect: '${ .order }'}}}}}}
    """
    And given the workflow input is:
    """yaml
    order: 7
    """
    And these events come:
    """yaml
    - {type: billing.paid, source: billing, subject: in_2, data: {n: 2, order: 7}}
    - {type: billing.paid, source: billing, subject: in_1, data: {n: 1, order: 7}}
    - {type: billing.paid, source: billing, subject: in_1, data: {n: 2, order: 8}}
    - {type: billing.paid, source: billing, subject: in_1, data: {n: 3, order: '7'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    - {n: 3, order: '7'}
    """

  Scenario: All of them, in the order in which they come, correlated by the first one
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - hear: {listen: {to: {all: [{with: {type: a}, correlate: {id: {from: .data.id}}}, {with: {type: b}, correlate: {id: {from: .data.ref}}}]}}, output: {as: map(.n)}}
    """
    And these events come:
    """yaml
    - {type: b, data: {ref: x, n: 1}}
    - {type: a, data: {id: y, n: 2}}
    - {type: b, data: {ref: x, n: 3}}
    - {type: a, data: {id: x, n: 4}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [1, 4]
    """

  Scenario: Any of them, as a whole or as text
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - whole: {listen: {to: {any: [{with: {type: a}}, {with: {type: 'b.*'}}]}, read: envelope}, export: {as: '.[0].id'}}
    - text: {listen: {to: {any: []}, read: raw}, output: {as: '{id: $context, text: .[0]}'}}
    """
    And these events come:
    """yaml
    - {type: c, id: one}
    - {type: b.c, id: two, data: 1}
    - {type: anything, id: three, data: {n: 1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {id: two, text: '{"n":1}'}
    """

  Scenario: Until a condition holds
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - hear: {listen: {to: {any: [{with: {type: a}}], until: '(map(.n) | add) > 5'}, read: data}}
    """
    And these events come:
    """yaml
    - {type: a, data: {n: 2}}
    - {type: a, data: {n: 3}}
    - {type: a, data: {n: 4}}
    - {type: a, data: {n: 5}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [{n: 2}, {n: 3}, {n: 4}]
    """

  Scenario: Until an event comes, doing something with each before the next
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - hear:
        listen: {to: {any: [{with: {type: a}}], until: {one: {with: {type: over}}}}}
        foreach:
          item: event
          at: place
          do: [{double: {set: {n: '${ $event.n * 2 }', at: '${ $place }'}}}]
          output: {as: '[.at, .n]'}
          export: {as: '{sum: (($context.sum // 0) + .[1])}'}
    - sum: {set: {all: '${ . }', sum: '${ $context.sum }'}}
    """
    And these events come:
    """yaml
    - {type: a, data: {n: 1}}
    - {type: a, data: {n: 2}}
    - {type: over, data: {n: 3}}
    - {type: a, data: {n: 4}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    all: [[0, 2], [1, 4]]
    sum: 6
    """
