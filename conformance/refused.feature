Feature: What is not supported is refused by name

  Scenario: What a container must not have, and scripts that lie elsewhere
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - script: {run: {script: {language: js, source: {endpoint: https://kit.test/script.js}}}}
    - container: {run: {container: {image: x, name: x, ports: {}, volumes: {}}}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'unsupported'

  Scenario: Catalogs
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use: {catalogs: {other: {endpoint: https://kit.test}}}
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
        a: {oidc: {authority: https://kit.test, grant: authorization_code, client: {id: c, authentication: none}}}
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
