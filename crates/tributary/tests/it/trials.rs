//! `flow run` and `flow test`: flows tried on the spot.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use twins::slack::{Config, Slack};

use crate::app::{TestApp, open};

fn tributary(arguments: &[&str]) -> Output {
    let data = tempfile::tempdir().expect("a directory");
    Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(arguments)
        .env("TRIBUTARY_DATA", data.path())
        .env_remove("TRIBUTARY_SERVER")
        .output()
        .expect("it starts")
}

#[track_caller]
fn document(output: &Output, code: i32) -> Value {
    let words =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{words}");
    serde_json::from_slice(&output.stdout).expect(&words)
}

fn written(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

const HEAD: &str = "document: {dsl: '1.0.3', namespace: test, name: tried, version: '1.0.0'}\n";

#[test]
fn templates_pass_their_tests() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../templates");
    let names = ["failed-payment-alert", "stripe-customer-to-chartmogul", "stripe-to-chartmogul"];
    let files: Vec<String> =
        names.iter().map(|name| folder.join(format!("{name}.yaml")).display().to_string()).collect();
    let mut arguments = vec!["flow", "test", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    let found = document(&tributary(&arguments), 0);
    assert_eq!((&found["files"], &found["failed"]), (&json!(3), &json!(0)));
    assert!(found["passed"].as_u64().is_some_and(|passed| passed >= 9), "{found}");
}

#[test]
fn a_test_that_fails_says_what_differs() {
    let directory = tempfile::tempdir().expect("a directory");
    let flow = format!(
        "{HEAD}do:
- tell: {{call: slack.messages.post, with: {{connection: slack, channel: '#a', text: '${{ \"Hello \" + .name }}'}}}}
- late: {{wait: P40D}}
- sum: {{set: {{n: 1, ts: '${{ $steps.tell.ts }}', kept: [1, 2]}}}}
"
    );
    let tests = "
tests:
- name: passes
  input: {name: Ada}
  answers: [{call: slack.messages.post, with: {channel: '#a'}, output: {ts: '1.1'}}]
  expect: {output: {n: 1, ts: '1.1', kept: [1, 2]}, calls: [{slack.messages.post: {text: Hello Ada}}]}
- name: differs
  input: {name: Ada}
  answers: [{call: slack.messages.post, output: {ts: '1.1'}}]
  expect:
    output: {n: 2, kept: [1, 3]}
    calls: [{slack.messages.post: {text: Hello Bob}}, slack.messages.update]
    steps: {late: skipped}
- name: goes unanswered
  input: {name: Ada}
  expect: {status: completed}
- name: expects the error that comes
  input: {name: Ada}
  answers: [{call: slack.messages.post, error: {status: 403, title: No}}]
  expect: {error: {status: 403, instance: /do/0/tell}}
";
    let file = written(directory.path(), "greet.yaml", &flow);
    written(directory.path(), "greet.test.yaml", tests);
    let output = tributary(&["flow", "test", &file, "--json"]);
    let found = document(&output, 1);
    assert_eq!((&found["passed"], &found["failed"]), (&json!(2), &json!(2)));
    let of = |place: usize| {
        let differences = found["tests"][place]["differences"].as_array().expect("a list").clone();
        differences
            .iter()
            .map(|difference| difference["path"].as_str().expect("a path").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(1),
        [
            "output/n",
            "output/kept/1",
            "output/ts",
            "calls/0/slack.messages.post/text",
            "calls/1",
            "steps/late"
        ]
    );
    assert_eq!(of(2), ["status", "error"]);
    let words = tributary(&["flow", "test", &file]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    for part in [
        "ok      passes",
        "FAILED  differs (",
        "calls/0/slack.messages.post/text\n      - expected \"Hello Bob\"\n      + found \"Hello Ada\"",
        "the test has no answer to `slack.messages.post`",
        "2 passed, 2 failed",
    ] {
        assert!(words.contains(part), "{part} in {words}");
    }
}

#[test]
fn what_cannot_be_tested_is_bad_usage_or_told_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = written(directory.path(), "lone.yaml", &format!("{HEAD}do: [{{a: {{set: {{x: 1}}}}}}]\n"));
    let output = tributary(&["flow", "test", &file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("lone.test.yaml beside it"));
    let tests = written(directory.path(), "lone.test.yaml", "tests:\n- name: a\n  expct: {}\n");
    let output = tributary(&["flow", "test", &tests]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("lone.test.yaml:3:3: `expct` is not a field of a test; did you mean `expect`?"),
        "{told}"
    );
}

#[test]
fn a_flow_runs_on_the_spot_with_scripts_waits_and_twins() {
    let directory = tempfile::tempdir().expect("a directory");
    let flow = format!(
        "{HEAD}do:
- customer: {{call: stripe.customers.create, with: {{connection: stripe, name: '${{ .name }}'}}}}
- pause: {{wait: P3D}}
- look: {{call: stripe.customers.retrieve, with: {{connection: stripe, customer: '${{ $steps.customer.id }}'}}}}
- shout: {{run: {{script: {{language: js, stdin: '${{ $steps.look.name }}', code: 'return input.toUpperCase()'}}}}}}
- count: {{run: {{script: {{language: jq, stdin: '${{ . }}', code: 'def f: length; f'}}}}}}
- never: {{if: false, set: {{x: 1}}}}
- done: {{set: {{name: '${{ $steps.shout }}', length: '${{ $steps.count }}'}}}}
"
    );
    let file = written(directory.path(), "flow.yaml", &flow);
    let found = document(&tributary(&["flow", "run", &file, "--input", "{\"name\": \"Ada\"}", "--json"]), 0);
    assert_eq!(
        (&found["status"], &found["output"], &found["error"]),
        (&json!("completed"), &json!({"name": "ADA", "length": 3}), &Value::Null)
    );
    let steps = found["steps"].as_array().expect("steps");
    let states: Vec<_> =
        steps.iter().map(|step| (step["name"].as_str().unwrap(), step["status"].as_str().unwrap())).collect();
    assert_eq!(states[5], ("never", "skipped"));
    assert_eq!((states.len(), &steps[1]["duration_ms"]), (7, &json!(3 * 24 * 3600 * 1000)));

    let dry = document(
        &tributary(&["flow", "run", &file, "--input", "{\"name\": \"Ada\"}", "--dry-run", "--json"]),
        1,
    );
    assert_eq!(dry["writes"][0]["call"], "stripe.customers.create");
    assert_eq!(dry["writes"][0]["request"]["body"], "name=Ada");
    assert_eq!((&dry["status"], &dry["error"]["instance"]), (&json!("failed"), &json!("/do/2/look")));

    // An upsert reads, and shows what it comes down to.
    let upsert = format!(
        "{HEAD}do:
- make: {{call: stripe.customers.upsert, with: {{connection: stripe, email: 'ada@example.com', name: Ada}}}}
- done: {{set: {{outcome: '${{ $steps.make.outcome }}', name: '${{ $steps.make.record.name }}'}}}}
"
    );
    let upsert = written(directory.path(), "upsert.yaml", &upsert);
    let dry = document(&tributary(&["flow", "run", &upsert, "--dry-run", "--json"]), 0);
    assert_eq!(dry["output"], json!({"outcome": "created", "name": "Ada"}), "{dry}");
    assert_eq!(dry["writes"].as_array().map(Vec::len), Some(1));
    assert_eq!(dry["writes"][0]["request"]["path"], "/v1/customers", "{dry}");

    let input = written(directory.path(), "input.yaml", "name: [1]\n");
    let words = tributary(&["flow", "run", &file, "--input", &input]);
    assert_eq!(words.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&words.stdout).contains("failed: "), "{words:?}");

    let plain = format!(
        "{HEAD}do:\n- get: {{call: http, with: {{method: get, endpoint: 'https://api.example.com/x'}}}}\n"
    );
    let plain = written(directory.path(), "plain.yaml", &plain);
    let refused = document(&tributary(&["flow", "run", &plain, "--json"]), 1);
    let (kind, detail) = (&refused["error"]["type"], refused["error"]["detail"].as_str().expect("a detail"));
    assert!(kind.as_str().expect("a type").ends_with("/host_refused"), "{refused}");
    assert!(detail.contains("flow run --connections"), "{detail}");
}

#[tokio::test]
async fn a_flow_runs_with_the_connections_of_a_server_or_only_shows_its_writes() {
    let app = TestApp::start().await;
    let slack = Slack::new(Config::new("xoxb-test"));
    let url = open(Arc::new(slack.clone())).await;
    let body = json!({"connector": "slack", "base_url": url, "credentials": {"token": "xoxb-test"}});
    app.put("/v1/connections/mine", body).await.expect(201);
    let text = format!(
        "{HEAD}do:
- tell: {{call: slack.messages.post, with: {{connection: slack, channel: '#billing', text: '${{ .text }}'}}}}
- channels: {{call: slack.conversations.list, with: {{connection: slack}}}}
- sum: {{set: {{channels: '${{ $steps.channels.items | length }}', text: '${{ $steps.tell.text }}'}}}}
"
    );
    let mut body =
        json!({"text": text, "input": {"text": "Hello"}, "connections": {"slack": "mine"}, "dry_run": true});
    let dry = app.post("/v1/flows/run", body.clone()).await.expect(200);
    assert_eq!((&dry["status"], &dry["output"]["text"]), (&json!("completed"), &json!("Hello")), "{dry}");
    assert_eq!(dry["writes"][0]["with"]["text"], "Hello");
    assert_eq!(slack.messages().len(), 0);
    // Nor is anybody told of a question.
    let asks = format!(
        "{HEAD}do:
- tell: {{call: slack.messages.post, with: {{connection: slack, channel: '#billing', text: Hello}}}}
- ask: {{call: human.approve, with: {{title: Refund?, notify: {{call: slack.messages.post, with: {{connection: slack, channel: '#billing'}}}}}}}}
"
    );
    let asks = json!({"text": asks, "connections": {"slack": "mine"}, "dry_run": true});
    let asks = app.post("/v1/flows/run", asks).await.expect(200);
    assert_eq!(
        (&asks["status"], asks["writes"].as_array().map(Vec::len)),
        (&json!("waiting"), Some(2)),
        "{asks}"
    );
    assert_eq!(slack.messages().len(), 0);
    body["dry_run"] = json!(false);
    let real = app.post("/v1/flows/run", body.clone()).await.expect(200);
    assert_eq!((&real["status"], &real["writes"]), (&json!("completed"), &Value::Null), "{real}");
    assert_eq!(slack.messages().len(), 1);
    // Nothing of it is kept.
    assert_eq!(app.get("/v1/runs").await.expect(200)["runs"], json!([]));
    assert_eq!(app.get("/v1/flows").await.expect(200)["flows"], json!([]));
    body["connections"] = json!({});
    assert_eq!(app.post("/v1/flows/run", body).await.problem(), "wrong_state");
    app.stop().await;
}

/// An operation that asks before it sends reaches the twin with all of it; a dry run shows what is to be sent.
#[test]
fn a_file_is_uploaded_on_the_twin() {
    let directory = tempfile::tempdir().expect("a directory");
    let flow = format!(
        "{HEAD}do:
- channels: {{call: slack.conversations.list, with: {{connection: slack}}}}
- upload:
    call: slack.files.upload
    with: {{connection: slack, channel_id: '${{ $steps.channels.items[0].id }}', filename: a.csv, content: 'a,b', initial_comment: see}}
- look: {{call: slack.conversations.history, with: {{connection: slack, channel: '${{ $steps.channels.items[0].id }}'}}}}
- done: {{set: {{text: '${{ $steps.look.items[0].text }}', file: '${{ $steps.look.items[0].files[0].name }}', size: '${{ $steps.upload.files[0].size }}'}}}}
"
    );
    let file = written(directory.path(), "flow.yaml", &flow);
    let found = document(&tributary(&["flow", "run", &file, "--json"]), 0);
    assert_eq!(found["output"], json!({"text": "see", "file": "a.csv", "size": 3}), "{found}");
    let dry = document(&tributary(&["flow", "run", &file, "--dry-run", "--json"]), 0);
    let request = &dry["writes"][0]["request"];
    assert_eq!(request["before"][0]["request"]["query"], "filename=a.csv&length=3", "{dry}");
    assert_eq!(
        (&request["before"][1]["request"]["body"], &request["path"]),
        (&json!("a,b"), &json!("/api/files.completeUploadExternal"))
    );
}

#[test]
fn programs_start_where_they_are_allowed() {
    let directory = tempfile::tempdir().expect("a directory");
    let flow = format!(
        "{HEAD}do:
- say: {{run: {{shell: {{command: 'printf \"%s from $NAME\"', arguments: ['${{ .text }}'], environment: {{NAME: a shell}}}}}}}}
"
    );
    let file = written(directory.path(), "flow.yaml", &flow);
    let lint = document(&tributary(&["flow", "lint", &file, "--json"]), 1);
    assert_eq!(
        (&lint["problems"][0]["code"], &lint["problems"][0]["line"]),
        (&json!("program_refused"), &json!(3))
    );
    document(&tributary(&["flow", "lint", &file, "--json", "--allow-run", "shell"]), 0);
    let run = ["flow", "run", &file, "--input", "{\"text\": \"Hello\"}", "--json"];
    assert_eq!(tributary(&run).status.code(), Some(1));
    let allowed = [&run[..], &["--allow-run", "shell"]].concat();
    assert_eq!(document(&tributary(&allowed), 0)["output"], "Hello from a shell");
    let dry = document(&tributary(&[&allowed[..], &["--dry-run"]].concat()), 0);
    assert_eq!(dry["writes"][0]["call"], "run.shell");
    let wrong = tributary(&["flow", "lint", &file, "--allow-run", "bash"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("`bash` can't be allowed"), "{wrong:?}");
    // A test answers for it.
    written(
        directory.path(),
        "flow.test.yaml",
        "tests:
- {name: answered, input: {text: x}, answers: [{call: run.shell, output: y}], expect: {output: y, writes: [run.shell]}}
- {name: unanswered, input: {text: x}, expect: {error: {type: 'https://tributary.dev/errors/unanswered'}}}
",
    );
    document(&tributary(&["flow", "test", &file, "--json", "--allow-run", "shell"]), 0);
}

#[test]
fn a_script_that_cannot_be_read_is_told_by_lint_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let flow = format!(
        "{HEAD}do:
- js: {{run: {{script: {{language: js, code: 'return input +'}}}}}}
- jq:
    run:
      script:
        language: jq
        code: |
          .items
          | lenght
"
    );
    let file = written(directory.path(), "flow.yaml", &flow);
    let found = document(&tributary(&["flow", "lint", &file, "--json"]), 1);
    let places: Vec<_> = found["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|problem| (problem["code"].as_str().unwrap(), problem["line"].as_u64().unwrap()))
        .collect();
    assert_eq!(places, [("script_syntax", 3), ("script_syntax", 10)], "{found}");
    assert!(found["problems"][1]["message"].as_str().is_some_and(|why| why.contains("lenght")), "{found}");
}

#[test]
fn a_test_says_what_happens_later() {
    let directory = tempfile::tempdir().expect("a directory");
    let flow = format!(
        "{HEAD}schedule: {{on: {{one: {{with: {{source: shop, type: shop.order.placed}}}}}}}}
do:
- ask:
    call: human.approve
    with: {{title: Ship it?, assignees: [anna, bob], deadline: PT48H, otherwise: reject}}
- refused: {{if: $steps.ask.choice != \"approve\", set: {{sent: false, late: '${{ $steps.ask.expired }}'}}, then: end}}
- wait: {{listen: {{to: {{one: {{with: {{type: shop.order.paid}}, correlate: {{order: {{from: .data.order, expect: '${{ $event.data.order }}'}}}}}}}}}}}}
- done: {{set: {{sent: true, paid: '${{ $steps.wait[0].paid }}'}}}}
"
    );
    let event = "event: {source: shop, type: shop.order.placed, data: {order: 7}}";
    let paid = |order: u8| {
        format!("event: {{source: shop, type: shop.order.paid, data: {{order: {order}, paid: {order}0}}}}")
    };
    let tests = format!(
        "tests:
- name: approved and paid
  {event}
  then:
  - {{{}}}
  - {{after: P1D, decide: {{choice: approve, by: anna}}}}
  - {{after: PT1H, {}}}
  expect: {{output: {{sent: true, paid: 70}}}}
- name: rejected
  {event}
  then: [{{decide: {{choice: reject, by: bob, step: ask}}}}]
  expect: {{output: {{sent: false, late: false}}}}
- name: nobody decides
  {event}
  expect: {{output: {{sent: false, late: true}}}}
- name: not yet
  {event}
  then: [{{after: P1D, stop: true}}]
  expect: {{status: waiting}}
",
        paid(8),
        paid(7),
    );
    let file = written(directory.path(), "order.yaml", &flow);
    written(directory.path(), "order.test.yaml", &tests);
    let found = document(&tributary(&["flow", "test", &file, "--json"]), 0);
    assert_eq!((&found["passed"], &found["failed"]), (&json!(4), &json!(0)), "{found}");

    let wrong = format!(
        "tests:
- name: nobody is asked any more
  {event}
  then: [{{after: P3D, decide: {{choice: approve, by: anna}}}}]
  expect: {{output: {{sent: false, late: true}}}}
- name: a choice that there is not
  {event}
  then: [{{decide: {{choice: maybe, by: anna}}}}]
  expect: {{output: {{sent: false, late: true}}}}
- name: another step
  {event}
  then: [{{decide: {{choice: approve, by: anna, step: aks}}}}]
  expect: {{output: {{sent: false, late: true}}}}
"
    );
    written(directory.path(), "order.test.yaml", &wrong);
    let found = document(&tributary(&["flow", "test", &file, "--json"]), 1);
    for (place, part) in [(0, "the run was over before"), (1, "maybe"), (2, "`aks` asks nothing now; ask do")]
    {
        let difference = &found["tests"][place]["differences"][0];
        assert_eq!(difference["path"], "then", "{found}");
        assert!(difference["found"].as_str().is_some_and(|why| why.contains(part)), "{part}: {difference}");
    }
}

#[test]
fn the_tests_of_templates_come_with_them() {
    let all = document(&tributary(&["template", "test", "--json"]), 0);
    assert!(all["files"].as_u64().is_some_and(|files| files >= 3) && all["failed"] == 0, "{all}");
    let one = document(&tributary(&["template", "test", "failed-payment-alert", "--json"]), 0);
    assert_eq!(
        (&one["files"], &one["tests"][0]["file"]),
        (&json!(1), &json!("templates/failed-payment-alert.test.yaml"))
    );
    let unknown = tributary(&["template", "test", "failed-payment-alarm"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `failed-payment-alert`?"));
    let directory = tempfile::tempdir().expect("a directory");
    written(
        directory.path(),
        "mine.yaml",
        &format!("{}do: [{{a: {{set: {{x: 1}}}}}}]\n", HEAD.replace("tried", "mine")),
    );
    let folder = directory.path().display().to_string();
    let untested = tributary(&["template", "test", "mine", "--templates", &folder]);
    assert_eq!(untested.status.code(), Some(2), "{untested:?}");
    written(directory.path(), "mine.test.yaml", "tests: [{name: a, expect: {output: {x: 2}}}]\n");
    let failed = document(&tributary(&["template", "test", "mine", "--templates", &folder, "--json"]), 1);
    assert_eq!(failed["tests"][0]["differences"][0]["path"], "output/x");
}

/// A connector that is made here, and nowhere else, is simulated after its manifest: lists longer than a page, records
/// that are made once, and who they are made by.
#[test]
fn a_connector_of_ones_own_is_tried_on_its_twin() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("connectors");
    std::fs::create_dir(&folder).expect("made");
    let folder = folder.display().to_string();
    let made = tributary(&["connector", "new", "acme", "--dir", &folder]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let tasks = "do:
- many:
    call: data.map
    with: {items: '${ [0, 1, 2, 3, 4] }', call: acme.things.create, with: {id: '${ \"t\\($index)\" }', name: '${ \"Thing \\($index)\" }'}}
- list: {call: acme.things.list, with: {page: stream, limit: 2}}
- all: {call: data.map, with: {items: '${ $steps.list.items }', call: acme.things.retrieve, with: {thing: '${ $item.id }'}}}
- sizes: {call: data.map, with: {items: '${ $steps.list.pages }', call: acme.things.retrieve, with: {thing: '${ ($item | last).id }'}}}
- again: {call: acme.things.create, with: {id: t1, name: Other}}
- sum: {set: {names: '${ [$steps.all[].name] }', last: '${ [$steps.sizes[].id] }', kept: '${ $steps.again.name }'}}
";
    let flow = written(directory.path(), "flow.yaml", &format!("{HEAD}{tasks}"));
    let sum = json!({
        "names": ["Thing 0", "Thing 1", "Thing 2", "Thing 3", "Thing 4"],
        "last": ["t1", "t3", "t4"],
        "kept": "Thing 1",
    });
    let report = document(&tributary(&["--connectors", &folder, "flow", "run", &flow, "--json"]), 0);
    assert_eq!((&report["status"], &report["output"]), (&json!("completed"), &sum), "{report}");
    let tests =
        format!("tests: [{{name: on the twin, input: {{}}, twins: true, expect: {{output: {sum}}}}}]\n");
    written(directory.path(), "flow.test.yaml", &tests);
    let found = document(&tributary(&["--connectors", &folder, "flow", "test", &flow, "--json"]), 0);
    assert_eq!((&found["passed"], &found["failed"]), (&json!(1), &json!(0)), "{found}");
    let without = tributary(&["flow", "run", &flow]);
    assert_eq!(without.status.code(), Some(1), "only with the folder");
}

/// The sandbox has it too, on a socket, for whoever shows its key.
#[tokio::test]
async fn a_connector_of_ones_own_is_in_the_sandbox() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("connectors");
    std::fs::create_dir(&folder).expect("made");
    let skeleton = include_str!("../../src/cli/connector/new.yaml");
    written(&folder, "acme.yaml", skeleton);
    let mut catalog = connect::Catalog::embedded();
    catalog.load_dir(&folder).expect("it is sound");
    let sandbox = tributary::sandbox::Sandbox::start(&Default::default(), &catalog).await.expect("it starts");
    let account = sandbox.document()["acme"].clone();
    assert!(sandbox.words().contains("tributary connection add acme --base-url"), "{}", sandbox.words());
    let app = TestApp::start_with(|config| config.connectors = Some(folder)).await;
    let put = |key: &Value| {
        let credentials = json!({"api_key": key});
        json!({"connector": "acme", "live": false, "base_url": account["url"], "credentials": credentials})
    };
    app.put("/v1/connections/acme", put(&account["credentials"]["api_key"])).await.expect(201);
    let found = app.post("/v1/connections/acme/check", json!({})).await.expect(200);
    assert_eq!(found["ok"], true, "{found}");
    app.put("/v1/connections/acme", put(&json!("stolen"))).await.expect(200);
    let found = app.post("/v1/connections/acme/check", json!({})).await.expect(200);
    assert_eq!(found["ok"], false, "{found}");
    app.stop().await;
}
