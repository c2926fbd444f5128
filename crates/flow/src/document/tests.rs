mod advice;

use super::*;
use serde_json::json;

const HEAD: &str = "document: {dsl: '1.0.3', namespace: test, name: test, version: '1.0.0'}\n";

fn problems(text: &str) -> Vec<String> {
    let found = Document::parse("f.yaml", text).err().unwrap_or_default();
    for problem in &found {
        assert!(crate::CODES.iter().any(|(code, _)| *code == problem.code), "no page for {}", problem.code);
    }
    found.iter().map(|problem| format!("{} {} {}", problem.code, problem.path, problem)).collect()
}

/// One document each, with the only problem in it.
#[test]
fn says_what_is_wrong_where_and_what_was_meant() {
    let cases: &[(&str, &str)] = &[
        (
            "do:\n- a: {cal: x.y.z}",
            "unknown_task /do/0/a/cal f.yaml:3:7: `cal` is not a task; did you mean `call`?",
        ),
        (
            "do:\n- a: {fork: {branches: []}}",
            "empty_list /do/0/a/fork/branches f.yaml:3:24: `branches` has no task",
        ),
        (
            "do:\n- a: {fork: {compete: true}}",
            "missing_field /do/0/a/fork f.yaml:3:13: `fork` needs `branches`",
        ),
        (
            "do:\n- a: {fork: {compete: 1, branches: [{b: {set: {x: 1}}}]}}",
            "wrong_type /do/0/a/fork/compete f.yaml:3:23: `compete` must be true or false, not a number",
        ),
        (
            "do:\n- a: {fork: {branches: [{b: {set: {x: 1}, then: c}}, {c: {set: {x: 1}}}]}}",
            "unknown_target /do/0/a/fork/branches/0/b/then f.yaml:3:49: `then: c`: that task is in another list",
        ),
        (
            "use: {functions: {f: {do: [{b: {call: g}}]}, g: {call: f}}}\ndo:\n- a: {call: f}",
            "recursive_function /use/functions/g/call f.yaml:2:56: functions call each other in a circle: `f` → `g` → `f`",
        ),
        (
            "use: {functions: {greet: {cal: x.y}}}\ndo:\n- a: {call: gret}",
            "unknown_task /use/functions/greet/cal f.yaml:2:27: `cal` is not a task; did you mean `call`?",
        ),
        (
            "use: {functions: {greet: {call: x.y}}}\ndo:\n- a: {call: gret}",
            "unknown_operation /do/0/a/call f.yaml:4:13: `gret` is neither the name of an operation, such as `crm.contacts.retrieve`, nor of a function in `use.functions`; did you mean `greet`?",
        ),
        (
            "use: {functions: {f: {set: {x: '${ $item }'}}}}\ndo:\n- a: {for: {in: .x}, do: [{b: {call: f}}]}",
            "unknown_variable /use/functions/f/set/x f.yaml:2:36: `$item` is not a variable here",
        ),
        (
            "use: {extensions: [{e: {extend: cal}}]}\ndo:\n- a: {set: {x: 1}}",
            "unknown_task /use/extensions/0/e/extend f.yaml:2:33: `cal` is no kind of task that can be extended; did you mean `call`?",
        ),
        (
            "use: {extensions: [{e: {extend: set, before: [{b: {set: {x: '${ .a + }'}}}]}}]}\ndo:\n- a: {set: {x: 1}}",
            "expression_syntax /use/extensions/0/e/before/0/b/set/x f.yaml:2:70: this expression",
        ),
        (
            "use: {timeouts: {short: {after: PT1S}}}\ndo:\n- a: {set: {x: 1}, timeout: shrot}",
            "unknown_reference /do/0/a/timeout f.yaml:4:29: `use.timeouts` has no timeout named `shrot`; did you mean `short`?",
        ),
        (
            "do:\n- a: {set: {x: 1}, timeout: {after: soon}}",
            "wrong_duration /do/0/a/timeout/after f.yaml:3:37: `timeout.after`: `soon` is not an ISO 8601 duration",
        ),
        (
            "input: {schema: {document: {properties: {a: {typ: string}}}}}\ndo:\n- a: {set: {x: 1}}",
            "wrong_schema /input/schema/document/properties/a/typ f.yaml:2:51: `typ` is not a keyword of JSON Schema; did you mean `type`?",
        ),
        (
            "do:\n- a: {set: {x: 1}, output: {schema: {format: avro, document: {}}}}",
            "unsupported /do/0/a/output/schema/format f.yaml:3:46: schemas of format `avro` are not supported; `json` is",
        ),
        (
            "do:\n- a: {set: {x: 1}, output: {schema: {resource: {endpoint: x}}}}",
            "unsupported /do/0/a/output/schema/resource f.yaml:3:38: `resource` of `output.schema` is not supported yet",
        ),
        (
            "evaluate: {language: js}\ndo:\n- a: {set: {x: 1}}",
            "unsupported /evaluate/language f.yaml:2:22: `evaluate.language: js` is not supported; `jq` is",
        ),
        (
            "do:\n- a: {call: 'log:1.0.0@global'}",
            "unsupported /do/0/a/call f.yaml:3:13: `call: log:1.0.0@global`: functions of other catalogs are not supported",
        ),
        ("do:\n- a: {emit: {}}", "missing_field /do/0/a/emit f.yaml:3:13: `emit` needs `event`"),
        (
            "do:\n- a: {emit: {event: {with: {type: a.b, sourc: 'https://x.test'}}}}",
            "missing_field /do/0/a/emit/event/with f.yaml:3:28: an event needs `source`",
        ),
        ("do:\n- a: {listen: {}}", "missing_field /do/0/a/listen f.yaml:3:15: `listen` needs `to`"),
        (
            "do:\n- a: {listen: {to: {one: {with: {type: 'a*'}}}}}",
            "wrong_name /do/0/a/listen/to/one/with/type f.yaml:3:40: `a*`: `*` stands only at the end, after a dot: `billing.invoice.*`",
        ),
        (
            "do:\n- a: {listen: {to: {all: []}}}",
            "wrong_type /do/0/a/listen/to/all f.yaml:3:26: `all` must be a list of at least one event (`- with: …`), not a list",
        ),
        (
            "do:\n- a: {listen: {to: {one: {with: {type: a}}, until: true}}}",
            "unknown_field /do/0/a/listen/to/until f.yaml:3:52: `until` goes with `any` only",
        ),
        (
            "do:\n- a: {listen: {to: {any: [{with: {type: a}, correlate: {c: {form: .x}}}]}}}",
            "unknown_field /do/0/a/listen/to/any/0/correlate/c/form f.yaml:3:61: `form` is not a field of correlation `c`; did you mean `from`?",
        ),
        (
            "do:\n- a: {run: {}}",
            "missing_field /do/0/a/run f.yaml:3:12: `run` needs `script`, `workflow`, `shell` or `container`",
        ),
        (
            "do:\n- a: {run: {shell: {comand: ls}}}",
            "missing_field /do/0/a/run/shell f.yaml:3:20: `shell` needs `command`",
        ),
        (
            "do:\n- a: {run: {container: {image: i, volumes: {}}}}",
            "unsupported /do/0/a/run/container/volumes f.yaml:3:35: `volumes` of `container` is not supported yet",
        ),
        (
            "do:\n- a: {run: {container: {image: i, lifetime: {cleanup: never}}}}",
            "unsupported /do/0/a/run/container/lifetime/cleanup f.yaml:3:55: `cleanup: never` is not supported: a container is removed when its task is over (`always`)",
        ),
        (
            "do:\n- a: {run: {await: false, shell: {command: ls}}}",
            "unsupported /do/0/a/run/await f.yaml:3:20: `await: false` of `shell` is not supported: a program ends with its task",
        ),
        (
            "do:\n- a: {run: {shell: {command: ls}, script: {language: js, code: '1'}}}",
            "ambiguous_task /do/0/a/run/script f.yaml:3:43: `run` starts one thing: it has both `shell` and `script`",
        ),
        (
            "do:\n- a: {run: {script: {language: python, code: '1'}}}",
            "unsupported /do/0/a/run/script/language f.yaml:3:32: scripts in `python` are not supported; `js` and `jq` are",
        ),
        (
            "do:\n- a: {run: {script: {language: js}, return: stdot}}",
            "missing_field /do/0/a/run/script f.yaml:3:21: `script` needs `code`",
        ),
        (
            "do:\n- a: {run: {script: {language: js, code: '1', arguments: 7}}}",
            "wrong_type /do/0/a/run/script/arguments f.yaml:3:58: `arguments` of a script must be a list, not a number",
        ),
        (
            "do:\n- a: {run: {script: {language: js, code: '${ .code }'}}}",
            "not_literal /do/0/a/run/script/code f.yaml:3:42: `code` must be written out, not computed",
        ),
        (
            "do:\n- a: {call: http, with: {method: gett, endpoint: 'https://x.test'}}",
            "wrong_type /do/0/a/with/method f.yaml:3:34: `gett` is not a method of HTTP that can be called; did you mean `get`?",
        ),
        ("do:\n- a: {call: http}", "missing_field /do/0/a f.yaml:3:6: `call: http` needs `with`"),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: 'https://x.test/{a.b}'}}",
            "wrong_name /do/0/a/with/endpoint f.yaml:3:49: `{a.b}`: only a field's name can stand in braces",
        ),
        (
            "do:\n- a: {call: http, with: {method: get, endpoint: {uri: 'https://x.test', authentication: {basic: {username: u, password: p}}}}}",
            "plain_secret /do/0/a/with/endpoint/authentication/basic/password f.yaml:3:121: `password` is written out",
        ),
        (
            "do:\n- a: {call: openapi, with: {document: {endpoint: 'https://x.test'}}}",
            "missing_field /do/0/a/with f.yaml:3:28: `call: openapi` needs `operationId`",
        ),
        (
            "do:\n- a: {call: data.map, with: {items: .x, call: a.b, concurency: 2}}",
            "unknown_field /do/0/a/with/concurency f.yaml:3:52: `concurency` is not a field of `with` of `call: data.map`; did you mean `concurrency`?",
        ),
        (
            "do:\n- a: {call: data.map, with: {items: .x, call: a.b, concurrency: 65}}",
            "wrong_type /do/0/a/with/concurrency f.yaml:3:65: `concurrency` is a number from 1 to 64",
        ),
        (
            "do:\n- a: {call: data.map, with: {call: a.b, onError: fail}}",
            "missing_field /do/0/a/with f.yaml:3:29: `call: data.map` needs `items`",
        ),
        (
            "do:\n- a: {call: data.map, with: {items: .x, call: data.map, onError: fail}}",
            "unsupported /do/0/a/with/call f.yaml:3:47: `data.map` calls an operation or a function",
        ),
        (
            "do:\n- a: {call: data.map, with: {items: .x, call: a.b, onError: kep}}",
            "wrong_type /do/0/a/with/onError f.yaml:3:61: `onError: kep`: it is `fail` or `keep`; did you mean `keep`?",
        ),
        (
            "do:\n- a: {fork: {compete: yes, branches: [{b: {set: {x: 1}}}]}}",
            "wrong_type /do/0/a/fork/compete f.yaml:3:23: `compete` must be true or false, not text; did you mean `true`?",
        ),
        (
            "do:\n- a: {set: 'x:1'}",
            "wrong_type /do/0/a/set f.yaml:3:12: `set` must be a mapping or an expression, not text (a space must follow the `:`); did you mean `x: 1`?",
        ),
        (
            "do:\n- a:\n    set:\n      x: ${ .a # }",
            "partial_expression /do/0/a/set/x f.yaml:5:10: this expression is not closed by `}`",
        ),
        (
            "schedule: {cron: '61 * * * *'}\ndo:\n- a: {set: {x: 1}}",
            "wrong_cron /schedule/cron f.yaml:2:18: `61 * * * *`:",
        ),
        (
            "schedule: {cron: 'CRON_TZ=Europe/Berln 0 9 * * *'}\ndo:\n- a: {set: {x: 1}}",
            "wrong_cron /schedule/cron f.yaml:2:18: `Europe/Berln` is not a time zone such as `Europe/Berlin`; did you mean `Europe/Berlin`?",
        ),
        (
            "schedule: {cron: '0 9 * * *', every: PT1H}\ndo:\n- a: {set: {x: 1}}",
            "ambiguous_task /schedule/every f.yaml:2:38: `schedule` starts by one clock: it has both `cron` and `every`",
        ),
        (
            "schedule: {every: 1 hour}\ndo:\n- a: {set: {x: 1}}",
            "wrong_duration /schedule/every f.yaml:2:19: `schedule.every`: `1 hour` is not an ISO 8601 duration",
        ),
        (
            "schedule: {after: PT0S}\ndo:\n- a: {set: {x: 1}}",
            "wrong_duration /schedule/after f.yaml:2:19: `schedule.after` is at least a second",
        ),
        (
            "schedule: {read: data}\ndo:\n- a: {set: {x: 1}}",
            "missing_field /schedule f.yaml:2:11: `schedule` needs one of `on`, `cron`, `every`, `after`",
        ),
        (
            "schedule: {on: {one: {with: {type: a.b}}}, read: date}\ndo:\n- a: {set: {x: 1}}",
            "wrong_type /schedule/read f.yaml:2:50: `read: date`: it is `data`, `envelope` or `raw`; did you mean `data`?",
        ),
        (
            "use: {secrets: a}\ndo:\n- a: {set: {x: 1}}",
            "wrong_type /use/secrets f.yaml:2:16: `use.secrets` must be a list of names of connections, not text",
        ),
        (
            "use: {secrets: [crm]}\ndo:\n- a: {call: http, with: {method: get, endpoint: {uri: 'https://a.test', authentication: {bearer: {use: cmr}}}}}",
            "unknown_reference /do/0/a/with/endpoint/authentication/bearer/use f.yaml:4:104: `use.secrets` names no connection `cmr`; did you mean `crm`?",
        ),
        (
            "use: {secrets: [crm]}\ndo:\n- a: {call: http, with: {method: get, endpoint: 'https://a.test', headers: {x: '${ \"k\" + $secrets.crm.key }'}}}",
            "expression_refused /do/0/a/with/headers/x f.yaml:4:90: `$secrets.<connection>.<field>` stands alone",
        ),
        (
            "use: {authentications: {a: {oauth2: {authority: 'https://a.test', grant: passwrd, client: {id: c, secret: '${ .s }'}}}}}\ndo:\n- a: {set: {x: 1}}",
            "unsupported /use/authentications/a/oauth2/grant f.yaml:2:74: `grant: passwrd` is not supported; `client_credentials`, `password`, `refresh_token`, `urn:ietf:params:oauth:grant-type:token-exchange` are; did you mean `password`?",
        ),
        (
            "use: {authentications: {a: {oidc: {authority: 'https://a.test', grant: password, username: u}}}}\ndo:\n- a: {set: {x: 1}}",
            "missing_field /use/authentications/a/oidc f.yaml:2:35: `grant: password` of `oidc` needs `password`",
        ),
        (
            "use: {authentications: {a: {oidc: {authority: 'https://a.test', grant: authorization_code}}}}\ndo:\n- a: {set: {x: 1}}",
            "unsupported /use/authentications/a/oidc/grant f.yaml:2:72: `grant: authorization_code` needs a person in front of a browser: add a connection, whose connector keeps what is granted",
        ),
        (
            "use: {authentications: {a: {oauth2: {authority: 'https://a.test', grant: client_credentials, client: {id: c, secret: '${ .s }', authentication: none}}}}}\ndo:\n- a: {set: {x: 1}}",
            "unknown_field /use/authentications/a/oauth2/client/secret f.yaml:2:118: `authentication: none` of a client has no use for `secret`",
        ),
        (
            "use: {authentications: {a: {digest: {username: u, password: plain}}}}\ndo:\n- a: {set: {x: 1}}",
            "plain_secret /use/authentications/a/digest/password f.yaml:2:61: `password` is written out: everybody who reads the flow would know it",
        ),
        (
            "schedule: {on: {one: {with: {type: a.b, dataschema: x}}}}\ndo:\n- a: {set: {x: 1}}",
            "unsupported /schedule/on/one/with/dataschema f.yaml:2:41: `dataschema` of `with` is not supported yet",
        ),
        (
            "do:\n- a: {}",
            "unknown_task /do/0/a f.yaml:3:6: task `a` does nothing: it needs one of `do`, `set`, `call`, `switch`, `for`, `fork`, `try`, `raise`, `emit`, `wait`, `listen`, `run`",
        ),
        (
            "do:\n- a: {set: {x: 1}, call: x.y}",
            "ambiguous_task /do/0/a/set f.yaml:3:7: task `a` does one thing: it has both `call` and `set`",
        ),
        (
            "do:\n- a: {set: {x: 1}, wiht: 2}",
            "unknown_field /do/0/a/wiht f.yaml:3:20: `wiht` is not a field of task `a` (`set`)",
        ),
        (
            "do:\n- a: {set: {x: 1}, them: end}",
            "unknown_field /do/0/a/them f.yaml:3:20: `them` is not a field of task `a` (`set`); did you mean `then`?",
        ),
        (
            "do:\n- a: {set: {x: 1}, then: b}",
            "unknown_target /do/0/a/then f.yaml:3:26: `then: b`: there is no task named `b` in this list",
        ),
        (
            "do:\n- fetch: {set: {x: 1}, then: fecth}",
            "unknown_target /do/0/fetch/then f.yaml:3:30: `then: fecth`: there is no task named `fecth` in this list; did you mean `fetch`?",
        ),
        (
            "do:\n- a: {do: [{b: {set: {x: 1}, then: c}}]}\n- c: {set: {x: 1}}",
            "unknown_target /do/0/a/do/0/b/then f.yaml:3:36: `then: c`: that task is in another list; `then` leads only to a task of the same list",
        ),
        (
            "do:\n- a: {set: {x: '${ $steps.fecth.id }'}}\n- fetch: {set: {y: 1}}",
            "unknown_step /do/0/a/set/x f.yaml:3:20: `$steps.fecth`: there is no task named `fecth`; did you mean `$steps.fetch`?",
        ),
        (
            "do:\n- a: {set: {x: '${ $settings.y }'}}",
            "unknown_setting /do/0/a/set/x f.yaml:3:30: `$settings.y`: `document.metadata.settings` declares no `y`",
        ),
        (
            "do:\n- a: {set: {x: '${ $item }'}}",
            "unknown_variable /do/0/a/set/x f.yaml:3:20: `$item` is not a variable here",
        ),
        ("do:\n- a: {set: {x: ${ .a | lenght }}}", ""),
        (
            "do:\n- a:\n    set:\n      x: ${ .a | lenght }",
            "unknown_function /do/0/a/set/x f.yaml:5:18: `lenght` is not a function; did you mean `length`?",
        ),
        (
            "do:\n- a:\n    set:\n      x: ${ .a | }",
            "expression_syntax /do/0/a/set/x f.yaml:5:18: this expression is not complete",
        ),
        ("do:\n- a: {if: .x |= 2, set: {x: 1}}", "expression_refused /do/0/a/if f.yaml:3:11: assignment"),
        (
            "do:\n- a: {if: [1], set: {x: 1}}",
            "wrong_type /do/0/a/if f.yaml:3:11: `if` must be an expression, not a list",
        ),
        (
            "do:\n- a: {set: {x: 'Hello ${ .name }'}}",
            "partial_expression /do/0/a/set/x f.yaml:3:16: `${ … }` inside longer text is not evaluated",
        ),
        (
            "do:\n- a: {call: x.y, with: {connection: '${ .c }'}}",
            "not_literal /do/0/a/with/connection f.yaml:3:37: `with.connection` must be written out, not computed",
        ),
        (
            "do:\n- a: {call: '${ .c }'}",
            "not_literal /do/0/a/call f.yaml:3:13: `call` must be written out, not computed",
        ),
        (
            "do:\n- a: {call: stripe}",
            "unknown_operation /do/0/a/call f.yaml:3:13: `stripe` is neither the name of an operation",
        ),
        (
            "do:\n- a: {call: 'x.y z'}",
            "unknown_operation /do/0/a/call f.yaml:3:13: `x.y z` is neither the name",
        ),
        (
            "do:\n- a: {call: x.y, with: [1]}",
            "wrong_type /do/0/a/with f.yaml:3:24: `with` must be a mapping, not a list",
        ),
        (
            "do:\n- a: {set: {x: 1}}\n- a: {set: {x: 1}}",
            "duplicate_task /do/1/a f.yaml:4:3: a task named `a` is in this list already",
        ),
        ("do:\n- end: {set: {x: 1}}", "reserved_name /do/0/end f.yaml:3:3: a task can't be named `end`"),
        (
            "do:\n- a: {for: {in: .x, each: input}, do: [{b: {set: {x: 1}}}]}",
            "reserved_name /do/0/a/for/each f.yaml:3:27: `$input` has a meaning of its own",
        ),
        (
            "do:\n- a: {for: {in: .x, each: x, at: x}, do: [{b: {set: {x: 1}}}]}",
            "reserved_name /do/0/a/for f.yaml:3:12: `each` and `at` are both `x`",
        ),
        (
            "do:\n- a: {for: {each: x}, do: [{b: {set: {x: 1}}}]}",
            "missing_field /do/0/a/for f.yaml:3:12: `for` needs `in`",
        ),
        ("do:\n- a: {for: {in: .x}}", "missing_field /do/0/a f.yaml:3:6: `for` needs `do`"),
        (
            "do:\n- a: {try: [{b: {set: {x: 1}}}]}",
            "missing_field /do/0/a f.yaml:3:6: task `a` (`try`) needs `catch`",
        ),
        (
            "do:\n- a: {try: [{b: {set: {x: 1}}}], catch: {retry: often}}",
            "unknown_reference /do/0/a/catch/retry f.yaml:3:49: `use.retries` has no policy named `often`",
        ),
        (
            "do:\n- a: {raise: {error: gone}}",
            "unknown_reference /do/0/a/raise/error f.yaml:3:22: `use.errors` has no error named `gone`",
        ),
        (
            "do:\n- a: {raise: {error: {type: x}}}",
            "missing_field /do/0/a/raise/error f.yaml:3:22: `error` needs `status`",
        ),
        (
            "do:\n- a: {raise: {error: {type: x, status: bad}}}",
            "wrong_type /do/0/a/raise/error/status f.yaml:3:40: `status` must be a number such as 404, not text",
        ),
        (
            "do:\n- a: {wait: 30s}",
            "wrong_duration /do/0/a/wait f.yaml:3:13: `wait`: `30s` is not an ISO 8601 duration",
        ),
        (
            "do:\n- a: {wait: {minuts: 1}}",
            "wrong_duration /do/0/a/wait f.yaml:3:13: `wait`: `minuts` is not a unit",
        ),
        (
            "do:\n- a: {switch: [{x: {then: end}}, {y: {when: .y, then: end}}]}",
            "unreachable_case /do/0/a/switch/0/x f.yaml:3:17: case `x` has no `when`",
        ),
        (
            "do:\n- a: {switch: [{x: {when: .y}}]}",
            "missing_field /do/0/a/switch/0/x f.yaml:3:20: case `x` needs `then`",
        ),
        ("do:\n- a: {switch: []}", "wrong_type /do/0/a/switch f.yaml:3:15: `switch` must be a list"),
        (
            "do:\n- a: {set: no}",
            "wrong_type /do/0/a/set f.yaml:3:12: `set` must be a mapping or an expression, not text",
        ),
        ("do:\n- a: {set: {}}", "missing_field /do/0/a/set f.yaml:3:12: `set` needs at least one field"),
        ("do:\n  a: {set: {x: 1}}", "wrong_type /do f.yaml:3:3: `do` must be a list of named tasks"),
        ("do: []", "empty_list /do f.yaml:2:5: `do` has no task"),
        (
            "do:\n- a: {set: {x: 1}}\n  b: {set: {x: 1}}",
            "wrong_type /do/0 f.yaml:3:3: an item of a task list is one name",
        ),
        ("do:\n- a: [1]", "wrong_type /do/0/a f.yaml:3:6: task `a` must be a mapping, not a list"),
        (
            "dO:\n- a: {set: {x: 1}}",
            "unknown_field /dO f.yaml:2:1: `dO` is not a field of a flow; did you mean `do`?",
        ),
        (
            "schedule: {on: {one: {with: {source: stripe}}}}\ndo:\n- a: {set: {x: 1}}",
            "missing_field /schedule/on/one/with f.yaml:2:29: an event that starts a flow needs `type`",
        ),
        (
            "schedule: {on: {one: {with: {type: 'stripe.*.paid'}}}}\ndo:\n- a: {set: {x: 1}}",
            "wrong_name /schedule/on/one/with/type f.yaml:2:36: `stripe.*.paid`: `*` stands only at the end",
        ),
        (
            "schedule: {on: {all: []}}\ndo:\n- a: {set: {x: 1}}",
            "unsupported /schedule/on/all f.yaml:2:17: `all` of `schedule.on` is not supported yet",
        ),
        (
            "schedule: {on: {any: []}}\ndo:\n- a: {set: {x: 1}}",
            "wrong_type /schedule/on/any f.yaml:2:22: `any` must be a list of at least one event",
        ),
    ];
    for (tasks, expected) in cases {
        let found = problems(&format!("{HEAD}{tasks}"));
        if expected.is_empty() {
            assert!(!found.is_empty(), "{tasks}");
            continue;
        }
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{tasks}\nexpected {expected}\nfound    {found:#?}"
        );
        assert!(found.len() <= 2, "{tasks}\n{found:#?}");
    }
}

#[test]
fn heads_and_metadata_are_checked() {
    let with = |head: &str| {
        problems(&format!(
            "document:\n  dsl: '1.0.3'\n  namespace: n\n  name: n\n  version: '1.0.0'\n{head}\ndo: [{{a: {{set: {{x: 1}}}}}}]"
        ))
    };
    let cases: &[(&str, &str)] = &[
        (
            "  metadata: {settings: {x: {default: 1}}}",
            "missing_field /document/metadata/settings/x f.yaml:6:28: setting `x` needs `description`",
        ),
        (
            "  metadata: {settings: {x: {description: d, default: 1, type: string}}}",
            "wrong_type /document/metadata/settings/x/default f.yaml:6:54: the default of setting `x` is not of its type",
        ),
        (
            "  metadata: {settings: {x: {description: d, type: text}}}",
            "wrong_type /document/metadata/settings/x/type f.yaml:6:51: `text` is not a type of setting",
        ),
        (
            "  metadata: {concurrency: {mode: latest}}",
            "missing_field /document/metadata/concurrency f.yaml:6:27: `concurrency` needs `key`",
        ),
        (
            "  metadata: {concurrency: {key: customer}}",
            "missing_expression /document/metadata/concurrency/key f.yaml:6:33: `concurrency.key` is an expression over the event",
        ),
        (
            "  metadata: {concurrency: {key: '${ .id }', mode: newest}}",
            "wrong_type /document/metadata/concurrency/mode f.yaml:6:51: `mode` is `queue` or `latest`, not `newest`",
        ),
        (
            "  metadata: {dedup: {}}",
            "missing_field /document/metadata/dedup f.yaml:6:21: `dedup` needs `key`",
        ),
        (
            "  metadata: {dedup: {key: '${ .id }', window: 1}}",
            "unknown_field /document/metadata/dedup/window f.yaml:6:39: `window` is not a field of `dedup`",
        ),
        (
            "  titel: x",
            "unknown_field /document/titel f.yaml:6:3: `titel` is not a field of `document`; did you mean `title`?",
        ),
        (
            "  metadata: []",
            "wrong_type /document/metadata f.yaml:6:13: `document.metadata` must be a mapping, not a list",
        ),
    ];
    for (head, expected) in cases {
        let found = with(head);
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{head}\nexpected {expected}\nfound {found:#?}"
        );
        assert_eq!(found.len(), 1, "{head} {found:#?}");
    }
    let all = problems("document: {dsl: '2.0.0', namespace: a b, name: -x, version: 1.0}\nextra: 1\n");
    for expected in [
        "unsupported /document/dsl f.yaml:1:17: version `2.0.0` of the language is not supported; 1.0.3 is; did you mean `1.0.3`?",
        "missing_field  f.yaml:1:1: a flow needs `do`",
        "wrong_name /document/namespace f.yaml:1:37: `a b`: namespace is 1 to 63 letters, digits and inner hyphens",
        "wrong_name /document/name f.yaml:1:48: `-x`: name is 1 to 63 letters, digits and inner hyphens",
        "wrong_type /document/version f.yaml:1:61: `document.version` must be text (quote it), not a number",
        "unknown_field /extra f.yaml:2:1: `extra` is not a field of a flow",
    ] {
        assert!(all.iter().any(|problem| problem == expected), "{expected}\n{all:#?}");
    }
    assert_eq!(all.len(), 6);
}

#[test]
fn everything_wrong_comes_at_once_in_order() {
    let text = format!(
        "{HEAD}do:\n- a: {{cal: x}}\n- b: {{set: {{x: '${{ now }}', y: '${{ $nope }}'}}, then: nowhere}}\n- c: {{wait: soon}}\n"
    );
    let found = Document::parse("f.yaml", &text).unwrap_err();
    let codes: Vec<_> = found.iter().map(|problem| (problem.line, problem.code.as_str())).collect();
    assert_eq!(
        codes,
        [
            (3, "unknown_task"),
            (4, "expression_refused"),
            (4, "unknown_variable"),
            (4, "unknown_target"),
            (5, "wrong_duration"),
        ]
    );
}

#[test]
fn yaml_traps_do_no_harm() {
    for text in [
        "",
        "no",
        "- a",
        "document: no",
        "document: {dsl: 1.0, name: on, version: 0x1}",
        "do: {norway: no}",
        "\u{0}",
        "a: &a [*a]",
        "%YAML 3",
        "{",
        "do:\n\t- a",
    ] {
        assert!(Document::parse("f.yaml", text).is_err(), "{text}");
    }
}

const TEMPLATE: &str = "
document:
  dsl: '1.0.3'
  namespace: templates
  name: failed-payment-alert
  version: '1.2.0'
  metadata:
    title: Failed payments to Slack
    summary: One message per failed attempt.
    owner: finance
    settings:
      slack_channel: {description: Where to post, default: '#billing'}
      threshold: {description: Cents, type: number}
    concurrency:
      key: ${ .data.data.object.customer }
      mode: latest
      onFailure: hold
    dedup:
      key: '${ .data.data.object | if .attempt_count > 0 then \"\\(.id)/\\(.attempt_count)\" else null end }'
    alerts: {call: slack.messages.post, with: {connection: slack, text: '{text}'}, only: true}
schedule:
  on:
    any:
    - with: {source: stripe, type: stripe.invoice.payment_failed}
    - with: {source: stripe, type: 'stripe.charge.*'}
do:
- customer:
    call: stripe.customers.retrieve
    with: {connection: stripe, customer: '${ .data.data.object.customer }'}
- post:
    call: slack.messages.post:1@default
    with:
      connection: slack
      channel: ${ $settings.slack_channel }
      text: '${ \"\\($steps.customer.name) owes \\($event.data.data.object.amount_due)\" }'
- margin: {call: revenue.margin}
";

/// An event as flows see it.
fn event(object: Value) -> Value {
    happened(object).to_value()
}

fn happened(object: Value) -> crate::CloudEvent {
    crate::CloudEvent {
        id: "evt_1".to_owned(),
        source: "stripe-live".to_owned(),
        r#type: "stripe.charge.failed".to_owned(),
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        subject: None,
        data: Arc::new(json!({"id": "evt_1", "data": {"object": object}})),
    }
}

#[test]
fn a_template_tells_what_it_needs() {
    let document = Document::parse("t.yaml", TEMPLATE).unwrap();
    assert_eq!(
        (document.name(), document.namespace(), document.version()),
        ("failed-payment-alert", "templates", "1.2.0")
    );
    assert_eq!(
        (document.title(), document.summary()),
        (Some("Failed payments to Slack"), Some("One message per failed attempt."))
    );
    assert_eq!(document.text(), TEMPLATE);
    assert_eq!(document.metadata()["owner"], "finance");
    assert_eq!(document.connections(), ["slack", "stripe"]);
    let calls: Vec<_> = document
        .calls()
        .into_iter()
        .map(|call| (call.operation, call.connection, call.path, call.line))
        .collect();
    let (slack, stripe) = (Some("slack".to_owned()), Some("stripe".to_owned()));
    assert_eq!(
        calls,
        [
            ("stripe.customers.retrieve".to_owned(), stripe, "/do/0/customer".to_owned(), 28),
            ("slack.messages.post".to_owned(), slack, "/do/1/post".to_owned(), 31),
            ("revenue.margin".to_owned(), None, "/do/2/margin".to_owned(), 36),
        ]
    );
    let concurrency = document.concurrency().unwrap();
    assert_eq!((concurrency.mode, concurrency.on_failure), (Mode::Latest, OnFailure::Hold));
    let live = |name: &str| format!("{name}-live");
    let happened = happened(json!({}));
    let matching: Vec<_> =
        document.triggers().iter().map(|trigger| trigger.matches(&happened, &json!({}), &live)).collect();
    assert_eq!(matching, [false, true]);
}

#[test]
fn keys_come_from_the_event() {
    let document = Document::parse("t.yaml", TEMPLATE).unwrap();
    let settings = json!({});
    let failed = event(json!({"id": "in_1", "customer": "cus_1", "attempt_count": 2}));
    assert_eq!(document.lane_key(&failed, &settings), Ok(Some("cus_1".to_owned())));
    assert_eq!(document.fact_key(&failed, &settings), Ok(Some(Some("in_1/2".to_owned()))));
    let draft = event(json!({"id": "in_1", "attempt_count": 0}));
    assert_eq!(document.lane_key(&draft, &settings), Ok(None));
    assert_eq!(document.fact_key(&draft, &settings), Ok(Some(None)));
    for text in ["cus\0_1", "cus_1\n", "\u{9f}"] {
        let broken = event(json!({"id": text, "customer": text, "attempt_count": 2}));
        let told = |fault: Fault| fault.code() == "expression" && fault.detail.contains("control character");
        assert!(document.lane_key(&broken, &settings).is_err_and(told), "{text:?}");
        assert!(document.fact_key(&broken, &settings).is_err_and(told), "{text:?}");
    }
    let odd = event(json!("text"));
    assert!(document.lane_key(&odd, &settings).is_err_and(|fault| fault.code() == "expression"));
    let plain = Document::parse("p.yaml", &format!("{HEAD}do: [{{a: {{set: {{x: 1}}}}}}]")).unwrap();
    assert_eq!(
        (plain.lane_key(&failed, &settings), plain.fact_key(&failed, &settings)),
        (Ok(None), Ok(None))
    );
}

#[test]
fn settings_are_chosen_or_defaulted() {
    let document = Document::parse("t.yaml", TEMPLATE).unwrap();
    assert_eq!(document.settings()["slack_channel"].kind, SettingKind::String);
    let resolve = |chosen: Value| document.resolve_settings(chosen.as_object().unwrap());
    assert_eq!(resolve(json!({"threshold": 5})), Ok(json!({"slack_channel": "#billing", "threshold": 5})));
    assert_eq!(resolve(json!({})).unwrap_err(), ["setting `threshold` must be given: Cents"]);
    let wrong = resolve(json!({"threshold": "5", "slack_chanel": "#x"})).unwrap_err();
    assert_eq!(wrong.len(), 2);
    assert!(wrong[1].contains("did you mean `slack_channel`?"));
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{"document": {"dsl": "1.0.3", "namespace": "n", "name": "n", "version": "1.0.0"},
        "do": [{"a": {"set": {"x": "${ .y }"}}}]}"#;
    assert_eq!(Document::parse("f.json", text).unwrap().tasks().len(), 1);
}
