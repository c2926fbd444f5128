Feature: Data comes and goes as a flow says

  Scenario: A document has a head
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: kit
      name: head
      version: '1.2.0'
      title: A head
      summary: All that a head can say
      tags: {area: kit}
      metadata: {owner: nobody}
    evaluate: {language: jq, mode: strict}
    do:
    - say: {set: {name: '${ $workflow.definition.document.name }', id: '${ $workflow.id }'}, metadata: {note: free}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {name: head, id: run_1}
    """

  Scenario: Input, output and context are transformed and checked
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    input: {schema: {format: json, document: {required: [order]}}, from: .order}
    do:
    - double:
        input: {schema: {document: {required: [amount]}}, from: '{n: .amount}'}
        set: {n: '${ .n * 2 }'}
        output: {as: .n, schema: {document: {type: number}}}
        export: {as: '{doubled: .}', schema: {document: {required: [doubled]}}}
    - tell: {set: {was: '${ . }', kept: '${ $context.doubled }', input: '${ $input }'}}
    output: {as: '{result: .}', schema: {document: {required: [result]}}}
    """
    And given the workflow input is:
    """yaml
    order: {amount: 5}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    result: {was: 10, kept: 10, input: 10}
    """

  Scenario: Input that does not fit fails the flow
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    input: {schema: {document: {properties: {n: {type: integer}}}}}
    do:
    - a: {set: {n: '${ .n }'}}
    """
    And given the workflow input is:
    """yaml
    n: half
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    """

  Scenario: A task whose condition does not hold is passed by
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - never: {if: .n > 3, set: {n: 0}}
    - always: {if: '${ .n == 2 }', set: {n: '${ .n + 1 }'}}
    """
    And given the workflow input is:
    """yaml
    n: 2
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 3
    """
    And always should run last

  Scenario: An expression that fails is a fault of its own type
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: kit, name: scenario, version: '1.0.0'}
    do:
    - bad: {set: {x: '${ .text + 1 }'}}
    """
    And given the workflow input is:
    """yaml
    text: a
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/bad
    """
