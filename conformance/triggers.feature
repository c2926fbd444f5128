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

  Scenario: What is read of the event is the input
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {on: {one: {with: {type: billing.paid}}}, read: data}
    do:
    - say: {set: {invoice: '${ .invoice }', from: '${ $event.source }'}}
    """
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: e1, source: billing, type: billing.paid, data: {invoice: in_1}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    invoice: in_1
    from: billing
    """

  Scenario: The calendar starts the flow
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {cron: 'CRON_TZ=Europe/Berlin 30 9 * * MON-FRI'}
    do:
    - say: {set: {time: '${ $event.time }'}}
    """
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: scenario@1, source: 'urn:tributary:clock', type: tributary.schedule.due, time: '2026-01-02T08:30:00Z', data: {missed: 0}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    time: '2026-01-02T08:30:00Z'
    """

  Scenario: The flow starts at a distance, and an event starts it too
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {every: {minutes: 5}, on: {one: {with: {type: billing.paid}}}}
    do:
    - say: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete

  Scenario: The flow starts again after it ended
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {after: PT1H}
    do:
    - say: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should complete

  Scenario: A calendar that does not exist
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {cron: '0 0 30 2 *'}
    do:
    - say: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'wrong_cron'

  Scenario: Two clocks
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {every: PT1M, after: PT1M}
    do:
    - say: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'ambiguous_task'

  Scenario: What an event says decides whether it starts the flow
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0', metadata: {settings: {least: {description: d, default: 5}}}}
    schedule:
      on:
        any:
        - with: {type: billing.paid, data: '${ .n > $settings.least }', subject: '${ startswith("in_") }'}
          correlate: {order: {from: .data.order, expect: o1}}
        - with: {type: billing.paid, data: {urgent: true}, time: '${ . > "2026" }'}
    do:
    - say: {set: {id: '${ .id }'}}
    """
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: e1, source: billing, type: billing.paid, subject: in_1, time: '2026-01-02T00:00:00Z', data: {n: 6, order: o1}}
    """
    Then the event should start the workflow
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: e1, source: billing, type: billing.paid, subject: in_1, time: '2026-01-02T00:00:00Z', data: {n: 5, order: o1}}
    """
    Then the event should not start the workflow
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: e1, source: billing, type: billing.paid, subject: in_1, time: '2026-01-02T00:00:00Z', data: {n: 6, order: o2}}
    """
    Then the event should not start the workflow
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: e1, source: billing, type: billing.paid, subject: sub_1, time: '2026-01-02T00:00:00Z', data: {n: 6, order: o1}}
    """
    Then the event should not start the workflow
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: e1, source: billing, type: billing.paid, subject: x, time: '2026-01-02T00:00:00Z', data: {n: 0, urgent: true}}
    """
    Then the event should start the workflow
    And given the workflow input is:
    """yaml
    {specversion: '1.0', id: e1, source: billing, type: billing.paid, subject: in_1, time: '2026-01-02T00:00:00Z', data: text}
    """
    Then the event should not start the workflow
