Feature: Faults are raised, caught and retried

  Scenario: A fault says what, where and why
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use: {errors: {gone: {type: https://kit.test/gone, status: 410, title: Gone, detail: '${ "no \(.what)" }', instance: /here}}}
    do:
    - fail: {raise: {error: gone}}
    """
    And given the workflow input is:
    """yaml
    what: luck
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: https://kit.test/gone, status: 410, title: Gone, detail: no luck, instance: /here}
    """

  Scenario: A fault is caught by what it says
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - guard:
        try: [{fail: {raise: {error: {type: https://kit.test/x, status: 400, title: X, detail: why, instance: /i}}}}]
        catch:
          errors: {with: {type: https://kit.test/x, status: 400, title: X, details: why, instance: /i}}
          as: problem
          when: $problem.status == 400
          exceptWhen: $problem.title == "Y"
          do: [{note: {set: {caught: '${ $problem.title }'}}}]
          then: last
    - never: {set: {caught: never}}
    - last: {set: {was: '${ .caught }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    was: X
    """
    And never should not run

  Scenario: A fault that is not caught fails the flow
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - guard:
        try: [{fail: {raise: {error: {type: https://kit.test/x, status: 400}}}}]
        catch: {errors: {with: {status: 500}}, do: [{never: {set: {x: 1}}}]}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {status: 400, instance: /do/0/guard/try/0/fail}
    """

  Scenario: A try begins again, each time later
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use:
      retries:
        patient:
          when: $error.status == 503
          exceptWhen: $error.status == 404
          delay: {seconds: 1}
          backoff: {exponential: {}}
          limit: {attempt: {count: 3, duration: PT1M}, duration: PT1H}
          jitter: {from: PT0S, to: PT1S}
    do:
    - guard:
        try: [{ask: {call: http, with: {method: get, endpoint: https://service.test/status/503}}}]
        catch:
          retry: patient
          do: [{gave: {set: {up: '${ $error.status }'}}}]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    up: 503
    """
    And gave should run last

  Scenario: Delays stay the same or grow by steps
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - constant:
        try: [{a: {raise: {error: {type: https://kit.test/a, status: 500}}}}]
        catch: {retry: {delay: PT1S, backoff: {constant: {}}, limit: {attempt: {count: 2}}}, do: [{one: {set: {n: 1}}}]}
    - linear:
        try: [{b: {raise: {error: {type: https://kit.test/b, status: 500}}}}]
        catch: {retry: {delay: PT1S, backoff: {linear: {}}, limit: {attempt: {count: 2}}}, do: [{two: {set: {n: '${ .n + 1 }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 2
    """
