Feature: Flows call plain HTTP and emit events

  Scenario: A request has a method, an address, headers, a query and a body
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - post:
        call: http
        with:
          method: post
          endpoint: https://service.test/things/{id}
          headers: {x-kind: '${ .kind }'}
          query: {page: 2}
          body: {name: '${ .name }'}
          output: content
    """
    And given the workflow input is:
    """yaml
    {id: a/b, kind: k, name: n}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {method: POST, path: things/a%2Fb, query: {page: '2'}, kind: k, authorization: null, body: {name: n}}
    """

  Scenario: A policy says who calls
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use: {authentications: {me: {bearer: {token: '${ .token }'}}}}
    do:
    - get:
        call: http
        with: {method: get, endpoint: {uri: https://service.test/x, authentication: {use: me}}}
        output: {as: .authorization}
    """
    And given the workflow input is:
    """yaml
    token: t
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    Bearer t
    """

  Scenario: A password is asked for and given
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - login:
        call: http
        with:
          method: get
          endpoint: {uri: 'https://httpbin.org/basic-auth/{user}/{password}', authentication: {basic: {username: '${ .user }', password: '${ .password }'}}}
          output: response
        output: {as: '{status: .statusCode, user: .content.user}'}
    """
    And given the workflow input is:
    """yaml
    {user: u, password: p}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {status: 200, user: u}
    """

  Scenario: A redirection is no error where the flow says so
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - guard:
        try: [{strict: {call: http, with: {method: get, endpoint: https://service.test/status/302}}}]
        catch: {errors: {with: {status: 302}}, do: [{note: {set: {strict: false}}}]}
    - loose: {call: http, with: {method: get, endpoint: https://service.test/status/302, redirect: true}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    status: '302'
    """
    And note should run after strict

  Scenario: An answer that says no is a communication error with its status
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - ask: {call: http, with: {method: get, endpoint: https://service.test/status/404}}
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    {type: https://serverlessworkflow.io/spec/1.0.0/errors/communication, status: 404, instance: /do/0/ask}
    """

  Scenario: An operation is called by its description
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use: {authentications: {me: {basic: {username: u, password: '${ .p }'}}}}
    do:
    - find:
        call: openapi
        with:
          document: {name: store, endpoint: {uri: https://petstore.swagger.io/v2/swagger.json}}
          operationId: findPetsByStatus
          parameters: {status: [sold]}
          authentication: {use: me}
          output: content
          redirect: false
        output: {as: '[.[].status]'}
    """
    And given the workflow input is:
    """yaml
    p: q
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [sold, sold]
    """

  Scenario: An event is emitted whole
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - tell:
        emit:
          event:
            with:
              id: e1
              source: https://kit.test/flows
              type: test.kit.told
              time: '2026-01-31T12:00:00Z'
              subject: '${ .about }'
              datacontenttype: application/json
              dataschema: https://kit.test/schema
              data: {n: 1}
    """
    And given the workflow input is:
    """yaml
    about: x
    """
    When the workflow is executed
    Then the workflow should complete
    And the workflow output should have properties 'id', 'specversion', 'time', 'source', 'type', 'subject', 'datacontenttype', 'dataschema', 'data'
    And the workflow output should have a 'data' property with value:
    """yaml
    n: 1
    """

  Scenario: One call for each item of a list, and the outputs in the order of the items
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use:
      functions:
        double: {set: {twice: '${ .n * 2 }'}}
    do:
    - each: {call: data.map, with: {items: .ids, concurrency: 2, call: kit.things.show, with: {id: '${ $item }', nr: '${ $index }'}}}
    - again: {call: data.map, with: {items: '[.[].nr]', call: double, with: {n: '${ . }'}, onError: keep}}
    """
    And given the workflow input is:
    """yaml
    ids: [a, b, c]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    - output: {twice: 0}
    - output: {twice: 2}
    - output: {twice: 4}
    """

  Scenario: A question is answered, and a token is asked for
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use:
      authentications:
        question: {digest: {username: u, password: '${ .p }'}}
        found: {oidc: {authority: https://issuer.test, grant: client_credentials, client: {id: c, secret: '${ .p }'}, scopes: [a, b], audiences: [x]}}
        said:
          oauth2:
            authority: https://issuer.test
            endpoints: {token: /token}
            grant: password
            username: u
            password: '${ .p }'
            request: {encoding: application/json}
            client: {id: c, authentication: none}
    do:
    - asked: {call: http, with: {method: get, endpoint: {uri: 'https://service.test/digest', authentication: {use: question}}}}
    - one: {call: http, input: {from: $workflow.input}, with: {method: get, endpoint: {uri: 'https://service.test/a', authentication: {use: found}}}}
    - two: {call: http, input: {from: $workflow.input}, with: {method: get, endpoint: {uri: 'https://service.test/a', authentication: {use: said}}}}
    - all: {set: {known: '${ $steps.asked.known }', one: '${ $steps.one.authorization }', two: '${ $steps.two.authorization }'}}
    """
    And given the workflow input is:
    """yaml
    p: q
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {known: true, one: Bearer ***, two: Bearer ***}
    """

  Scenario: Every part of a policy that asks for a token
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use:
      secrets: [crm]
      authentications:
        digest: {digest: {use: crm}}
        exchange:
          oauth2:
            authority: https://issuer.test
            grant: urn:ietf:params:oauth:grant-type:token-exchange
            subject: {token: '${ $secrets.crm.token }', type: urn:ietf:params:oauth:token-type:jwt}
            actor: {token: '${ $secrets.crm.token }', type: urn:ietf:params:oauth:token-type:jwt}
            issuers: [https://issuer.test]
            scopes: [a]
            audiences: [x]
        refresh:
          oidc:
            authority: https://issuer.test
            grant: refresh_token
            subject: {token: '${ $secrets.crm.refresh }'}
            actor: {token: '${ $secrets.crm.token }'}
            request: {encoding: application/x-www-form-urlencoded}
            issuers: [https://issuer.test]
            client: {id: c, assertion: '${ $secrets.crm.assertion }', authentication: private_key_jwt}
        owner: {oidc: {authority: https://issuer.test, grant: password, username: u, password: '${ $secrets.crm.password }'}}
    do:
    - a: {if: 'false', call: http, with: {method: get, endpoint: {uri: 'https://service.test/a', authentication: {use: exchange}}}}
    - b: {set: {done: true}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    done: true
    """

  Scenario: Secrets are handles that only the call opens
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use:
      secrets: [crm]
      authentications:
        basic: {basic: {use: crm}}
        bearer: {bearer: {use: crm}}
        client:
          oauth2: {authority: 'https://service.test', grant: client_credentials, client: {id: '${ $secrets.crm.id }', secret: '${ $secrets.crm.secret }'}}
    do:
    - a: {if: 'false', call: http, with: {method: get, endpoint: {uri: 'https://service.test/a', authentication: {use: basic}}}}
    - b: {if: 'false', call: http, with: {method: get, endpoint: {uri: 'https://service.test/a', authentication: {use: client}}}}
    - c: {if: 'false', call: http, with: {method: get, endpoint: 'https://service.test/a', headers: {x-key: '${ $secrets.crm.key }'}}}
    - d: {set: {done: true}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    done: true
    """

  Scenario: Secrets of a connection that the flow does not name
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use: {secrets: [crm]}
    do:
    - a: {call: http, with: {method: get, endpoint: 'https://service.test/a', headers: {x-key: '${ $secrets.cmr.key }'}}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'unknown_reference'

  Scenario: Secrets in expressions
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    use: {secrets: [crm]}
    do:
    - a: {set: {x: '${ "key " + $secrets.crm.key }'}}
    """
    When the workflow is executed
    Then the workflow should be refused with 'expression_refused'

  Scenario: Another flow is run, and its output is the task's
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - ask: {run: {await: true, workflow: {namespace: kit, name: other, version: '1.0.0', input: {n: '${ .n + 1 }'}}}}
    - double: {set: {n: '${ .n * 2 }'}}
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    And given a flow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: other, version: '1.0.0'}
    do:
    - add: {set: {n: '${ $workflow.input.n + 10 }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 24
    """
