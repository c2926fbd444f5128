//! Flow documents of these tests.

/// A document with one trigger; `extra` is its metadata, `tasks` its `do`, both as YAML in flow style.
pub fn document(name: &str, metadata: &str, tasks: &str) -> String {
    format!(
        "document: {{dsl: '1.0.3', namespace: tests, name: {name}, version: '1.0.0', metadata: {metadata}}}\n\
         schedule: {{on: {{one: {{with: {{source: acme, type: acme.thing.changed}}}}}}}}\n\
         do:\n{tasks}"
    )
}

/// One call of a write by name.
pub fn one(operation: &str) -> String {
    document("one", "{}", &format!("  - act: {{call: {operation}, with: {{connection: acme, name: a}}}}\n"))
}

/// Reads, then writes once in each way that can be repeated safely, then reads again.
pub fn every_way() -> String {
    document(
        "every-way",
        "{}",
        "  - look: {call: acme.things.get, with: {connection: acme, id: t}}
  - charge: {call: acme.charges.create, with: {connection: acme, name: '${ \"charge \" + $steps.look.name }'}}
  - customer: {call: acme.customers.create, with: {connection: acme, name: '${ \"customer \" + $event.id }'}}
  - again: {call: acme.things.get, with: {connection: acme, id: t}}
  - note: {call: acme.notes.create, with: {connection: acme, name: '${ \"note \" + $steps.customer.id }'}}
  - state: {call: acme.states.set, with: {connection: acme, name: s, value: '${ $steps.again.name }'}}
",
    )
}
