Feature: What is not supported is refused by name

  Scenario: Scripts, shells, containers and other flows
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - script: {run: {await: true, return: stdout, script: {language: js, code: '1', arguments: []}}}
    - shell: {run: {shell: {command: ls, arguments: []}}}
    - container: {run: {container: {image: x, command: ls}}}
    - flow: {run: {workflow: {namespace: kit, name: other, version: '1.0.0', input: {}}}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'unsupported'

  Scenario: Schedules by the clock
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    schedule: {every: PT1M, cron: '* * * * *', after: PT1M}
    do:
    - a: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'unsupported'

  Scenario: Catalogs and secrets
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use: {secrets: [key], catalogs: {other: {endpoint: https://kit.test}}}
    do:
    - a: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'unsupported'

  Scenario: Other ways to say who calls
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use:
      authentications:
        a: {digest: {username: u, password: "${ .p }"}}
        b: {oauth2: {authority: https://kit.test, grant: client_credentials, client: {id: c}}}
        c: {oidc: {authority: https://kit.test, grant: client_credentials, client: {id: c}}}
        d: {basic: {use: sealed}}
        e: {bearer: {use: sealed}}
    do:
    - a: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'unsupported'

  Scenario: Schemas elsewhere
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    input: {schema: {resource: {endpoint: {uri: https://kit.test/schema.json}}}}
    do:
    - a: {set: {x: 1}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'unsupported'
