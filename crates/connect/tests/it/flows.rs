//! What lint says of flows beyond their language: programs that are not allowed, and scripts that can't be read.

use connect::Catalog;
use flow::Program;
use flow::document::Mistake;

const HEAD: &str = "document: {dsl: '1.0.3', namespace: n, name: f, version: '1.0.0'}\ndo:\n";

fn lint(catalog: &Catalog, tasks: &str) -> Vec<String> {
    let found = connect::lint::check(catalog, "f.yaml", &format!("{HEAD}{tasks}"));
    found.iter().map(|problem| format!("{} {problem}", problem.code)).collect()
}

#[test]
fn programs_need_the_operators_word() {
    let mut catalog = Catalog::default();
    let tasks = "- a: {run: {shell: {command: ls}}}\n- b: {run: {container: {image: i}}}\n";
    let found = lint(&catalog, tasks);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("program_refused f.yaml:3:20: `run: shell` is not allowed here"),
        "{found:?}"
    );
    assert!(found[1].contains("--allow-run container"), "{found:?}");
    catalog.allow(Program::Shell);
    let found = lint(&catalog, tasks);
    assert!(found.len() == 1 && found[0].contains("4:24"), "{found:?}");
    catalog.allow(Program::Container);
    assert_eq!(lint(&catalog, tasks), [""; 0]);
}

/// A reader whose scripts are wrong where `!` stands in them.
fn check(language: &str, code: &str) -> Option<Mistake> {
    let (line, column) =
        code.lines().enumerate().find_map(|(index, line)| Some((index + 1, line.find('!')? + 1)))?;
    Some(Mistake { line, column, message: format!("not {language}") })
}

#[test]
fn mistakes_of_scripts_have_their_places_in_the_file() {
    let mut catalog = Catalog::default();
    let script =
        |code: &str| format!("- a:\n    run:\n      script:\n        language: js\n        code: {code}\n");
    assert_eq!(lint(&catalog, &script("'!'")), [""; 0], "nobody reads scripts here");
    catalog.read_scripts(check);
    for (code, place) in [
        ("|\n          const a = 1;\n\n            b !\n          c", "10:15"),
        ("|-\n          !", "8:11"),
        ("'ab !'", "7:19"),
        ("a !", "7:17"),
        // Folded and escaped texts are not found again.
        (">\n          a\n          b !", "8:11"),
        ("\"a\\n!\"", "7:15"),
    ] {
        let found = lint(&catalog, &script(code));
        assert_eq!(found, [format!("script_syntax f.yaml:{place}: not js")], "{code}");
    }
}

#[test]
fn questions_that_nobody_could_be_asked_are_told() {
    let catalog = Catalog::default();
    let ask = |with: &str| format!("- a: {{call: human.approve, with: {{title: T, {with}}}}}\n");
    for (with, expected) in [
        ("deadline: PT1H, otherwise: reject", None),
        (
            "deadline: {after: 2}",
            Some("argument_type f.yaml:3:45: `human.approve`: deadline: `after` is not a unit"),
        ),
        ("deadline: soon, body: '${ .b }'", Some("argument_type f.yaml:3:45: `human.approve`: deadline: ")),
        ("otherwise: reject", Some("f.yaml:3:45: `human.approve`: otherwise: it counts after the deadline")),
        ("needed: 2, choices: '${ .c }'", None),
        ("needed: 2", Some("f.yaml:3:13: `human.approve`: assignees: name them")),
        (
            "notify: {call: a.b, with: {x: '${ .x }'}}, needed: 2",
            Some("`human.approve`: assignees: name them"),
        ),
    ] {
        let found = lint(&catalog, &ask(with));
        let found: Vec<&String> = found.iter().filter(|line| !line.contains("operation_unknown")).collect();
        match expected {
            None => assert!(found.is_empty(), "{with}: {found:?}"),
            Some(expected) => assert!(found.len() == 1 && found[0].contains(expected), "{with}: {found:?}"),
        }
    }
}

#[test]
fn only_lists_have_pages() {
    let catalog = Catalog::embedded();
    let call = |operation: &str, with: &str| {
        lint(&catalog, &format!("- a: {{call: {operation}, with: {{{with}}}}}\n"))
    };
    for with in ["page: stream", "page: first, cursor: ch_1", "page: '${ .way }'"] {
        assert_eq!(call("stripe.charges.list", with), [""; 0], "{with}");
    }
    let found = call("stripe.charges.list", "page: steam");
    assert!(found.len() == 1 && found[0].starts_with("argument_choice f.yaml:3:"), "{found:?}");
    assert!(found[0].contains("`page: steam`: it is `all`, `first` or `stream`"), "{found:?}");
    let found = call("stripe.charges.retrieve", "charge: ch_1, page: first, cursor: c");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("`stripe.charges.retrieve` is no list"), "{found:?}");
}

/// Members that a manifest says: also where others beside them are computed.
#[test]
fn members_of_arguments_are_those_that_there_are() {
    let catalog = Catalog::embedded();
    let blocks = |blocks: &str| {
        let with = format!("{{channel: C1, text: a, blocks: {blocks}}}");
        lint(&catalog, &format!("- a: {{call: slack.messages.post, with: {with}}}\n"))
    };
    let section = |text: &str| format!("{{type: section, text: {{type: mrkdwn, {text}}}}}");
    let button = |member: &str| {
        format!(
            "{{type: actions, elements: [{{type: button, text: {{type: plain_text, text: A}}, {member}: x}}]}}"
        )
    };
    let input = |label: &str| {
        format!(
            "{{type: input, {label}: {{type: plain_text, text: A}}, element: {{type: plain_text_input, action_id: a}}}}"
        )
    };
    for sound in [
        section("text: a"),
        section("text: '${ .a }'"),
        "{type: divider}, {type: header, text: {type: plain_text, text: a, emoji: true}}".to_owned(),
        "{type: section, fields: ['${ .a }', {type: mrkdwn, text: a}], accessory: {type: static_select, options: []}}".to_owned(),
        "{type: context, elements: [{type: image, image_url: 'https://a', alt_text: a}, {type: mrkdwn, text: a}]}".to_owned(),
        button("value"),
        input("label"),
        "{type: image, image_url: 'https://a', alt_text: a}".to_owned(),
        "{type: of_tomorrow, anything: 1}, '${ .block }'".to_owned(),
    ] {
        assert_eq!(blocks(&format!("[{sound}]")), [""; 0], "{sound}");
    }
    assert_eq!(blocks("'${ .blocks }'"), [""; 0]);
    for (wrong, expected) in [
        (section("txt: a"), "`/0/text/txt` is not allowed here"),
        (section("txt: '${ .a }'"), "`/0/text/txt` is not allowed here"),
        ("{type: section, txet: '${ .a }'}".to_owned(), "`/0/txet` is not allowed here"),
        ("{type: divider}, {tpye: section}".to_owned(), "`/1` lacks `type`"),
        ("{type: header}".to_owned(), "`/0` lacks `text`"),
        (button("valeu"), "`/0/elements/0/valeu` is not allowed here"),
        ("{type: context, elements: [{type: mrkdwn, txt: a}]}".to_owned(), "`/0/elements/0"),
        (input("lable"), "`/0` lacks `label`"),
        ("{type: image, image_url: 'https://a', alt: '${ .a }'}".to_owned(), "`/0` lacks `alt_text`"),
    ] {
        let found = blocks(&format!("[{wrong}]"));
        assert!(found.len() == 1 && found[0].starts_with("argument_type f.yaml:3:"), "{wrong}: {found:?}");
        assert!(
            found[0].contains("`blocks` of `slack.messages.post`") && found[0].contains(expected),
            "{found:?}"
        );
    }
    let view = "{type: modal, titel: {type: plain_text, text: a}, blocks: []}";
    let found = lint(
        &catalog,
        &format!("- a: {{call: slack.views.open, with: {{trigger_id: '${{ .t }}', dialog: {view}}}}}\n"),
    );
    assert!(found.len() == 1 && found[0].contains("`dialog` of `slack.views.open`"), "{found:?}");
}

/// Where a connector lists its types of events, others are mistakes; where it does not, anything may come.
#[test]
fn events_have_types_that_there_are() {
    let catalog = Catalog::embedded();
    let listen = |r#type: &str| {
        lint(&catalog, &format!("- a: {{listen: {{to: {{one: {{with: {{type: {type}}}}}}}}}}}\n"))
    };
    for known in
        ["stripe.invoice.paid", "'stripe.invoice.*'", "'stripe.*'", "slack.anything", "told.first", "'*'"]
    {
        assert_eq!(listen(known), [""; 0], "{known}");
    }
    let found = listen("stripe.invoice.payd");
    assert!(found.len() == 1 && found[0].starts_with("event_type_unknown f.yaml:3:40"), "{found:?}");
    assert!(
        found[0].contains("no events of type `invoice.payd`") && found[0].contains("stripe.invoice.paid"),
        "{found:?}"
    );
    assert!(listen("'stripe.invoices.*'")[0].contains("begins with `invoices.`"));
    let text = format!("{HEAD}- a: {{set: {{x: 1}}}}\n")
        .replace("do:", "schedule: {on: {one: {with: {type: stripe.invoice.piad}}}}\ndo:");
    let found = connect::lint::check(&catalog, "f.yaml", &text);
    assert_eq!((found[0].code.as_str(), found[0].line), ("event_type_unknown", 2), "{found:?}");
}
