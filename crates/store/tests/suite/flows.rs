//! Deployments, connections and hooks.

use super::world::{World, account, at};
use flow::{HookId, WorkspaceId};
use serde_json::json;
use store::manifests::NewManifest;
use store::{Change, Deployed, Error, NewFlow};

fn flow(text: &str) -> NewFlow {
    NewFlow {
        name: "mirror".into(),
        version: "1.0.0".into(),
        text: text.into(),
        settings: json!({"currency": "EUR"}),
        connections: [("stripe".to_owned(), "stripe-eu".to_owned())].into(),
    }
}

#[test]
fn every_deployment_is_a_revision_that_stays() {
    let world = World::new();
    let deploy = |flow| world.go(world.store.deploy_flow(&world.ws, flow, at(1))).unwrap();
    assert_eq!(deploy(flow("one")), Deployed { revision: 1, changed: true });
    assert_eq!(deploy(flow("one")), Deployed { revision: 1, changed: false });
    assert_eq!(deploy(flow("two")).revision, 2);
    let other_settings = NewFlow { settings: json!({}), ..flow("two") };
    assert_eq!(deploy(other_settings), Deployed { revision: 3, changed: true });

    let current = world.go(world.store.flow(&world.ws, "mirror")).unwrap().unwrap();
    assert_eq!((current.revision, current.text.as_str(), current.deployed_at), (3, "two", at(1)));
    let first = world.go(world.store.flow_revision(&world.ws, "mirror", 1)).unwrap().unwrap();
    assert_eq!((first.text.as_str(), first.connections["stripe"].as_str()), ("one", "stripe-eu"));
    let revisions: Vec<u32> = world
        .go(world.store.revisions(&world.ws, "mirror"))
        .unwrap()
        .iter()
        .map(|flow| flow.revision)
        .collect();
    assert_eq!(revisions, [3, 2, 1]);
    assert_eq!(world.go(world.store.flows(&world.ws)).unwrap().len(), 1);
    assert!(world.go(world.store.flows(&WorkspaceId::new("other"))).unwrap().is_empty());

    world.go(world.store.remove_flow(&world.ws, "mirror")).unwrap();
    assert!(world.go(world.store.flow(&world.ws, "mirror")).unwrap().is_none());
    assert!(world.go(world.store.flows(&world.ws)).unwrap().is_empty());
    assert!(
        world.go(world.store.flow_revision(&world.ws, "mirror", 3)).unwrap().is_some(),
        "its runs still need it"
    );
    assert_eq!(deploy(flow("one")), Deployed { revision: 4, changed: true });
}

#[test]
fn the_generation_moves_with_every_change() {
    let world = World::new();
    let mut last = world.go(world.store.generation()).unwrap();
    let mut moved = |what: &str| {
        let now = world.go(world.store.generation()).unwrap();
        assert_ne!(now, last, "{what}");
        last = now;
    };
    world.deploy("a");
    moved("deploy");
    world.go(world.store.pause_flow(&world.ws, "a")).unwrap();
    moved("pause");
    world.go(world.store.resume_flow(&world.ws, "a")).unwrap();
    moved("resume");
    world.go(world.store.remove_flow(&world.ws, "a")).unwrap();
    moved("remove");
    connect(&world, "stripe", "sk_1");
    moved("connection");
    world.go(world.store.remove_connection(&world.ws, "stripe")).unwrap();
    moved("connection removed");
    let before = world.go(world.store.generation()).unwrap();
    world.accept("e1", at(0));
    let missing = world.go(world.store.pause_flow(&world.ws, "a"));
    assert!(matches!(missing, Err(Error::NotFound { what: "flow", .. })), "{missing:?}");
    assert_eq!(world.go(world.store.generation()).unwrap(), before);
}

fn connect(world: &World, name: &str, secret: &str) -> store::ConnectionInfo {
    let connection = account(name, "stripe", ("api_key", secret));
    world
        .with_chance(|chance| world.go(world.store.put_connection(&world.ws, connection, chance, at(5))))
        .unwrap()
}

#[test]
fn a_connection_replaced_keeps_its_id_and_its_hooks() {
    let world = World::new();
    let first = connect(&world, "stripe", "sk_1");
    let hook = HookId::new("hook_1");
    world.go(world.store.put_hook(&world.ws, &hook, "stripe", at(6))).unwrap();
    let second = connect(&world, "stripe", "sk_2");
    assert_eq!(first.id, second.id);
    assert_eq!(second.credentials, ["api_key"]);
    let opened = world.go(world.store.connection(&world.ws, "stripe")).unwrap().unwrap();
    assert_eq!(opened.credentials.get("api_key"), Some("sk_2"));
    assert_eq!(opened.info, second);
    let found = world.go(world.store.hook(&hook)).unwrap().unwrap();
    assert_eq!((found.workspace, found.connection.as_str()), (world.ws.clone(), "stripe"));
    assert!(world.go(world.store.hook(&HookId::new("hook_2"))).unwrap().is_none());

    connect(&world, "another", "sk_3");
    let names: Vec<String> = world
        .go(world.store.connections(&world.ws))
        .unwrap()
        .into_iter()
        .map(|connection| connection.name)
        .collect();
    assert_eq!(names, ["another", "stripe"]);
    world.go(world.store.remove_connection(&world.ws, "stripe")).unwrap();
    assert!(world.go(world.store.connection(&world.ws, "stripe")).unwrap().is_none());
    assert!(world.go(world.store.hook(&hook)).unwrap().is_none(), "its address leads nowhere");
    assert!(world.go(world.store.remove_connection(&world.ws, "stripe")).is_err());
}

#[test]
fn a_change_is_made_whole_or_not_at_all() {
    let world = World::new();
    let change = |deploy: Vec<NewFlow>, remove: &[&str]| Change {
        deploy,
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        folder: true,
        note: Some("from a folder".into()),
    };
    let named = |name: &str, text: &str| NewFlow { name: name.into(), ..flow(text) };
    let apply = |change| world.go(world.store.change_flows(&world.ws, change, at(1)));
    let names = || -> Vec<(String, u32, bool)> {
        let flows = world.go(world.store.flows(&world.ws)).unwrap();
        flows.into_iter().map(|flow| (flow.name, flow.revision, flow.folder)).collect()
    };
    world.go(world.store.deploy_flow(&world.ws, flow("one"), at(1))).unwrap();
    assert_eq!(names(), [("mirror".into(), 1, false)]);

    let before = world.go(world.store.generation()).unwrap();
    let impossible = change(vec![named("a", "one"), named("mirror", "two")], &["absent"]);
    assert!(matches!(apply(impossible), Err(Error::Conflict { .. })));
    assert_eq!(names(), [("mirror".into(), 1, false)], "nothing of it");
    assert_eq!(world.go(world.store.generation()).unwrap(), before);

    let deployed = apply(change(vec![named("a", "one"), flow("one")], &[])).unwrap();
    let (new, same) = (Deployed { revision: 1, changed: true }, Deployed { revision: 1, changed: false });
    assert_eq!(deployed, [new, same]);
    assert_eq!(names(), [("a".into(), 1, true), ("mirror".into(), 1, true)], "the folder has both now");
    assert_eq!(apply(change(vec![flow("two")], &["a"])).unwrap()[0].revision, 2);
    assert_eq!(names(), [("mirror".into(), 2, true)]);
    let two = world.go(world.store.flow_revision(&world.ws, "mirror", 2)).unwrap().unwrap();
    assert_eq!(two.note.as_deref(), Some("from a folder"));
    world.go(world.store.deploy_flow(&world.ws, flow("three"), at(1))).unwrap();
    assert_eq!(names(), [("mirror".into(), 3, false)], "deployed by hand, the folder lets go of it");
}

#[test]
fn manifests_are_kept_by_what_they_say() {
    let world = World::new();
    let manifest = |digest: &str| NewManifest {
        digest: digest.into(),
        slug: "acme".into(),
        text: format!("text of {digest}"),
    };
    let note = |manifests: &[NewManifest]| world.go(world.store.note_manifests(manifests, at(1))).unwrap();
    note(&[manifest("1"), manifest("2")]);
    note(&[manifest("2"), manifest("3")]);
    assert_eq!(world.count("SELECT count(*) FROM manifests"), 3);
    assert_eq!(world.go(world.store.manifest("2")).unwrap().as_deref(), Some("text of 2"));
    assert_eq!(world.go(world.store.manifest("4")).unwrap(), None);
}
