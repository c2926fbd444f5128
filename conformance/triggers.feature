Feature: Events start flows

  Scenario: An event of a type starts the flow, which has it as its input
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {on: {any: [{with: {source: billing, type: 'billing.invoice.*', id: e1, subject: in_1}}, {with: {type: billing.paid}}]}}
    do:
    - say: {set: {type: '${ $event.type }'}}
    """
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: e1, source: billing, type: billing.paid, data: {}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    type: billing.paid
    """

  Scenario: One event is enough
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {on: {one: {with: {type: billing.paid}}}}
    do:
    - say: {set: {id: '${ .id }'}}
    """
    And given the workflow input is:
    """yaml
    {id: e1, type: billing.paid}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    id: e1
    """
