//! Everything that is wrong with a manifest is said at once, with its place.

use connect::Manifest;

pub const SOUND: &str = "\
manifest: 1
slug: acme
title: Acme
version: 1.0.0
summary: Things.
base_url: https://api.acme.example
hosts: [api.acme.example]
credentials:
  key: {title: Key, help: Somewhere.}
auth: {bearer: key}
errors:
  rules: [{status: 4xx, class: user}]
pagination:
  pages: {items: data, more: has_more, next: {last: id}, send: after}
operations:
  things.retrieve:
    summary: Retrieve a thing
    request: GET /things/{thing}
    effects: read
    params:
      thing: {in: path, type: string, required: true, description: Its id}
  things.list:
    summary: List things
    request: GET /things
    effects: read
    pages: true
  things.create:
    summary: Create a thing
    request: POST /things
    effects: write
    idempotency: {natural_key: {operation: things.retrieve, with: {thing: $args.id}}}
    params:
      id: {type: string, required: true, description: Its id}
check: things.list
";

#[test]
fn the_sound_one_is_sound() {
    let manifest = Manifest::parse("acme.yaml", SOUND).expect("sound");
    assert_eq!((manifest.slug.as_str(), manifest.check()), ("acme", Some("acme.things.list")));
}

/// An operation with steps before it, in the place of another one.
const STEPS: &str = "\
  things.create:
    summary: Create a thing
    request: POST /things
    effects: write
    idempotency: repeatable
    before:
      slot: {operation: things.slot, with: {size: $size.content}}
      sent: {to: $slot.url, bytes: $args.content}
    body: {files: [{id: $slot.id, title: $args.title}]}
    params:
      content: {in: before, type: [string, object], required: true, description: What is in it}
      title: {in: before, type: string, description: Its title}
  things.slot:
    summary: Where it goes
    request: POST /slots
    effects: write
    idempotency: repeatable
    params:
      size: {type: integer, description: How long it is}
check: things.list
";

pub fn with_steps() -> String {
    let (first, _) = SOUND.split_once("  things.create:").expect("an operation");
    format!("{first}  {STEPS}")
}

#[test]
fn steps_before_a_request_fit_it_and_each_other() {
    let sound = with_steps();
    Manifest::parse("acme.yaml", &sound).expect("sound");
    for (from, to, expected) in [
        ("operation: things.slot", "operation: things.slt", "did you mean `things.slot`?"),
        (
            "operation: things.slot",
            "operation: things.create",
            "`things.create` is no request that may be repeated",
        ),
        (
            "with: {size: $size",
            "with: {sze: $size",
            "`sze` is not a parameter of `things.slot`; did you mean `size`?",
        ),
        ("$size.content", "$size.contnt", "did you mean `content`?"),
        ("$size.content", "$size.title", "`title` gives bytes: its type is"),
        ("$size.content", "$slot.id", "`slot` is not an earlier step"),
        ("to: $slot.url", "to: $slt.url", "`slt` is not an earlier step; did you mean `slot`?"),
        ("to: $slot.url", "to: /things", "`to` is what an earlier step answered"),
        ("bytes: $args.content", "bytes: $size.content", "`bytes` is an argument"),
        ("sent: {to", "sent: {operation: things.list, to", "`to` is not part of a step that is an operation"),
        ("slot: {oper", "args: {oper", "a step is named by lower-case letters"),
        ("title: $args.title", "title: $args.titel", "did you mean `title`?"),
        ("title: $args.title", "title: $arg", "`$arg`: a reference is"),
        (
            "description: Its title}",
            "description: Its title, schema: {tpye: object}}",
            "this is no JSON Schema",
        ),
        ("POST /things", "GET /things", "`before` and `body` are for writes"),
        (
            "idempotency: repeatable\n    before",
            "idempotency: {header: {name: Key}}\n    before",
            "`before` goes with `idempotency: none`, `repeatable` or a `lookup`",
        ),
        ("size: {type", "size: {in: before, type", "`in: before` is for operations with `before`"),
    ] {
        let text = sound.replacen(from, to, 1);
        assert_ne!(text, sound, "{from}");
        let problems = Manifest::parse("acme.yaml", &text).expect_err(to);
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|line| line.contains(expected)), "{to}: {said:#?}");
    }
}

#[test]
fn problems_have_a_place_and_a_remedy() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        ("manifest: 1", "manifest: 2", "acme.yaml:1:11: this build reads `manifest: 1`"),
        ("slug: acme", "slug: Acme!", "acme.yaml:2:7: a slug is lower-case letters"),
        ("slug: acme", "slug: revenue", "acme.yaml:2:7: `revenue` is the name of functions"),
        ("title: Acme\n", "", "acme.yaml:1:1: `title` is missing"),
        (
            "summary: Things.",
            "sumary: Things.",
            "acme.yaml:5:1: `sumary` is not part of a manifest; did you mean `summary`?",
        ),
        (
            "https://api.acme.example",
            "http://api.acme.example",
            "acme.yaml:6:11: `base_url` is `https://` and a host",
        ),
        (
            "https://api.acme.example",
            "https://api.acme.example/v1",
            "acme.yaml:6:11: `base_url` is `https://` and a host",
        ),
        (
            "hosts: [api.acme.example]",
            "hosts: [acme.example]",
            "acme.yaml:6:11: the host of `base_url` is not among",
        ),
        (
            "auth: {bearer: key}",
            "auth: {bearer: kee}",
            "acme.yaml:10:16: `kee` is not a credential of this manifest; did you mean `key`?",
        ),
        ("auth: {bearer: key}", "auth: {oauth: key}", "acme.yaml:10:8: `oauth` is not part of `auth`"),
        ("class: user", "class: usr", "acme.yaml:12:32: `usr` is not a class; did you mean `user`?"),
        ("status: 4xx", "status: 4x", "acme.yaml:12:20: a status is 100 to 599"),
        ("next: {last: id}", "next: {lst: id}", "did you mean `last`?"),
        ("GET /things/{thing}", "FETCH /things", "acme.yaml:18:14: `FETCH /things` is not a request"),
        ("GET /things/{thing}", "GET /things/{thing", "acme.yaml:18:14: a `{` is not closed"),
        ("GET /things/{thing}", "GET /things/{id}", "`{id}` needs a parameter of that name"),
        ("GET /things/{thing}", "GET /things", "the path has no `{thing}`"),
        (
            "effects: read\n    params",
            "effects: reed\n    params",
            "acme.yaml:19:14: `reed` is not an effect; did you mean `read`?",
        ),
        (
            "in: path, type: string",
            "in: path, type: strng",
            "acme.yaml:21:31: `strng` is not a type; did you mean `string`?",
        ),
        (
            "in: path, type: string, required: true, description: Its id",
            "in: path, type: string, required: yes, description: Its id",
            "acme.yaml:21:49: this is text, not true or false",
        ),
        (
            ", description: Its id}\n  things.list",
            "}\n  things.list",
            "acme.yaml:21:14: `description` is missing",
        ),
        (
            "    idempotency: {natural_key: {operation: things.retrieve, with: {thing: $args.id}}}\n",
            "",
            "a write says how it is repeated: `idempotency`",
        ),
        (
            "operation: things.retrieve, with",
            "operation: things.retreive, with",
            "`things.retreive` is not an operation of this manifest; did you mean `things.retrieve`?",
        ),
        (
            "{thing: $args.id}}}",
            "{thing: $since_s}}}",
            "a record that was there before is older than `$since_s`, which only `lookup` has",
        ),
        (
            "{thing: $args.id}}}",
            "{thing: $args.id}, instead: {when: id, operation: things.list}}}",
            "`when` is an argument: `$args.<path>`",
        ),
        (
            "{thing: $args.id}}}",
            "{thing: $args.id}, instead: {when: $args.id, operation: things.create}}}",
            "`things.create` is no read, so nothing can be looked up by it",
        ),
        (
            "{thing: $args.id}}}",
            "{thing: $args.id}, instead: {when: $args.id, operation: things.list, with: {a: 1}}}}",
            "`a` is not a parameter of `things.list`",
        ),
        (
            "{thing: $args.id}}}",
            "{thing: $args.id}, resolve: {argument: thing, id_alphabet: '0', operation: things.list, with: {a: 1}, name: name, id: id}}}",
            "`a` is not a parameter of `things.list`",
        ),
        (
            "{thing: $args.id}}}",
            "{thing: $args.id}, resolve: {argument: thing, id_alphabet: '0', operation: things.list, name: name, id: id, instead: {starts: U, operation: things.create, argument: id, id: id}}}}",
            "`things.create` is nothing that may be repeated",
        ),
        (
            "operation: things.retrieve, with: {thing",
            "operation: things.create, with: {id",
            "`things.create` is no read",
        ),
        (
            "with: {thing: $args.id}",
            "with: {thng: $args.id}",
            "`thng` is not a parameter of `things.retrieve`; did you mean `thing`?",
        ),
        ("with: {thing: $args.id}", "with: {thing: $arg.id}", "a reference is `$key`"),
        ("check: things.list", "check: things.retrieve", "acme.yaml:34:8: the check needs no arguments"),
        ("check: things.list", "check: things.lst", "acme.yaml:34:8: `things.lst` is not an operation"),
        ("things.create:", "create:", "`create` is not named `resource.verb`"),
        (
            "idempotency: {natural_key: {operation: things.retrieve, with: {thing: $args.id}}}",
            "idempotency: {header: {name: Key, life_h: 9000000000000000}}",
            "a whole number from 1 to 87600",
        ),
        (
            "check: things.list\n",
            "limits: {timeout_s: 18446744073709551615}\n",
            "a whole number from 1 to 1000000000",
        ),
        ("things.create:", "things.list:", "`things.list` is given twice"),
        ("    pages: true\n", "    pages: {items: a b}\n", "`a b` is not a path"),
        ("    pages: true\n", "    pages: true\n    returns: thing\n", "no view has an object `thing`"),
        (
            "    pages: true\n",
            "    pages: true\n    include: [paging]\n",
            "`paging` is not a group of `parameters`",
        ),
        (
            "check: things.list\n",
            "views: {v: {objects: {o: {identity: id, fields: {f: {from: {each: l, shape: p}}}}}}}\n",
            "`p` is not an object of this view",
        ),
        (
            "check: things.list\n",
            "views: {v: {objects: {o: {identity: id, fields: {f: {from: {summ: l}}}}}}}\n",
            "`summ` is not part of a source; did you mean `sum`?",
        ),
        (
            "check: things.list\n",
            "tests: [{name: t, operation: things.lit}]\n",
            "`things.lit` is not an operation",
        ),
        ("check: things.list\n", "triggers: {webhook: {secret: key}}\n", "`verify` is missing"),
        (
            "check: things.list\n",
            "triggers: {webhook: {secret: key, verify: {scheme: hmac_sha256}}}\n",
            "`hmac_sha256` is not a signature scheme",
        ),
        (
            "check: things.list\n",
            "triggers: {webhook: {secret: key, also: [{from: payload}]}}\n",
            "`from` is not part of a kind of event",
        ),
        (
            "check: things.list\n",
            "triggers: {webhook: {secret: key, challenge: {when: {type: x}}}}\n",
            "`answer` is missing",
        ),
        (
            "check: things.list\n",
            "triggers: {webhook: {secret: key, answer: nil}}\n",
            "`nil` is not an answer",
        ),
        ("title: Acme", "title: [", "this is not YAML"),
    ] {
        assert!(SOUND.contains(from), "{from}");
        let text = SOUND.replacen(from, to, 1);
        let problems = Manifest::parse("acme.yaml", &text).expect_err(to);
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        if !lines.iter().any(|line| line.contains(expected)) {
            wrong.push(format!("{to}: expected {expected}, got {lines:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn everything_is_said_at_once() {
    let text = SOUND.replace("title: Acme", "titel: Acme").replace("auth: {bearer: key}", "auth: {}");
    let text =
        text.replace("4xx, class: user", "4xx, class: usr").replace("check: things.list", "check: nothing");
    let problems = Manifest::parse("acme.yaml", &text).expect_err("four problems");
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    for path in ["/titel", "/auth", "/errors/rules/0/class"] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    assert!(problems.is_sorted_by_key(|problem| (problem.line, problem.column)));
}

#[test]
fn a_folder_of_manifests_adds_to_the_catalog() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("acme.yaml"), SOUND).expect("written");
    std::fs::write(dir.path().join("notes.txt"), "not a manifest").expect("written");
    let mut catalog = crate::stage::catalog();
    catalog.load_dir(dir.path()).expect("sound");
    assert_eq!(catalog.slugs().collect::<Vec<_>>(), ["acme", "chartmogul", "slack", "stripe"]);
    let known = catalog.slugs().count();

    let problems = catalog.load_dir(dir.path()).expect_err("it is there already");
    assert_eq!((problems.len(), problems[0].code.as_str()), (1, "connector_twice"));
    assert!(
        problems[0].file.ends_with("acme.yaml") && problems[0].message.contains("`acme`"),
        "{problems:?}"
    );

    std::fs::write(dir.path().join("stripe.yaml"), SOUND.replace("slug: acme", "slug: stripe"))
        .expect("written");
    std::fs::write(dir.path().join("twin.yaml"), SOUND).expect("written");
    std::fs::write(dir.path().join("broken.yaml"), "manifest: 1\n").expect("written");
    let mut catalog = crate::stage::catalog();
    let problems = catalog.load_dir(dir.path()).expect_err("three are wrong");
    let of = |file: &str| problems.iter().filter(|problem| problem.file.ends_with(file)).collect::<Vec<_>>();
    assert!(of("broken.yaml").len() > 1, "everything that is wrong is told: {problems:?}");
    assert!(of("stripe.yaml")[0].message.contains("built-in"), "{problems:?}");
    assert!(of("twin.yaml")[0].message.contains("acme.yaml"), "{problems:?}");
    assert_eq!(catalog.slugs().count(), known - 1, "all of a folder or nothing");
    assert!(catalog.load_dir(&dir.path().join("nowhere")).is_err());
}

/// Sound but for one thing at a time.
#[test]
fn an_upsert_that_fails_on_the_first_new_record_is_told() {
    let sound = format!(
        "{}  things.update:
    summary: Change a thing
    request: PATCH /things/{{thing}}
    effects: write
    idempotency: repeatable
    params:
      thing: {{in: path, type: string, required: true, description: Its id}}
      color: {{type: string, description: Its colour}}
  things.upsert:
    summary: A thing as it is wanted
    effects: write
    upsert:
      find: {{operation: things.list, where: {{id: $args.id}}}}
      create: things.create
      update: things.update
      with: {{thing: $found.id}}
    params:
      id: {{type: string, required: true, description: Its id}}
      color: {{type: string, description: Its colour}}
    example: {{id: a, color: red}}
",
        SOUND
            .replace("check: things.list\n", "")
            .replace("      id: {type: string, required: true, description: Its id}\n", "      id: {type: string, required: true, description: Its id}\n      color: {type: string, description: Its colour}\n")
    );
    Manifest::parse("acme.yaml", &sound).expect("sound");
    for (from, to, expected) in [
        (
            "      id: {type: string, required: true, description: Its id}\n      color: {type: string, description: Its colour}\n    example",
            "      id: {type: string, description: Its id}\n      color: {type: string, description: Its colour}\n    example",
            "`acme.things.create` needs `id`, which is not required here",
        ),
        (
            "      with: {thing: $found.id}\n",
            "",
            "`acme.things.update` needs `thing`: `update_with` says where a record has it",
        ),
        (", where: {id: $args.id}", "", "`find` says nothing of what is looked for"),
    ] {
        let text = sound.replacen(from, to, 1);
        assert_ne!(text, sound, "{from}");
        let problems = Manifest::parse("acme.yaml", &text).expect_err(expected);
        let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(words.iter().any(|words| words.contains(expected)), "{expected}: {words:?}");
    }
}
