Feature: Flows ask people

  Scenario: Who is asked decides, once; the first choice needs several
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - ask:
        call: human.approve
        with: {title: Pay?, body: As agreed., assignees: [ann, bob, eve], needed: 2, requester: eve, deadline: PT1H, otherwise: reject}
        output: {as: '{choice: .choice, by: [.decisions[].by], comment: .decisions[0].comment, expired: .expired}'}
    """
    And these people decide:
    """yaml
    - {by: mallory, choice: approve}
    - {by: eve, choice: approve}
    - {by: ann, choice: approve, comment: fine}
    - {by: Ann, choice: approve}
    - {by: bob, choice: approve}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {choice: approve, by: [ann, bob], comment: fine, expired: false}
    """

  Scenario: Any other choice decides at once
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - ask: {call: human.approve, with: {title: Pay?, choices: [pay, wait, never], assignees: [ann, bob, eve], needed: 3}, output: {as: .choice}}
    """
    And these people decide:
    """yaml
    - {by: ann, choice: pay}
    - {by: bob, choice: never}
    - {by: eve, choice: wait}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    never
    """

  Scenario: When the deadline passes, a choice counts that was named before
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - ask: {call: human.approve, with: {title: Pay?, deadline: {minutes: 5}, otherwise: reject}, output: {as: '[.choice, .expired]'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [reject, true]
    """

  Scenario: Without one the step fails, which can be caught
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - ask:
        try: [{wait-for-people: {call: human.approve, with: {title: Pay?, deadline: PT5M}}}]
        catch: {errors: {with: {type: 'https://tributary.dev/errors/approval_expired'}}, as: why, do: [{say: {set: {status: '${ $why.status }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {status: 408}
    """

  Scenario: A question that makes no sense fails the step
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - ask: {call: human.approve, with: {title: Pay?, choices: '${ ["yes"] }', otherwise: no-such-choice}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: 'https://tributary.dev/errors/approval_invalid', status: 422}
    """
