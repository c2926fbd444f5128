//! What vendors granted: sealed, renewed by one at a time, never lost without a trace.

use super::world::{Task, World, at};
use flow::HookId;
use jiff::SignedDuration;
use store::{Along, Error, Grant, NewConnection, NewGrant, Result, Secrets, Turn};

const LEASE: SignedDuration = SignedDuration::from_secs(60);

fn world() -> World {
    let world = World::new();
    connect(&world, &Along::default()).unwrap();
    world
}

fn connect(world: &World, along: &Along) -> Result<()> {
    let connection = NewConnection {
        name: "crm".into(),
        connector: "crm".into(),
        live: false,
        base_url: None,
        credentials: Secrets::default(),
    };
    world.with_chance(|chance| {
        let put = world.store.put_connection_along(&world.ws, connection, along, chance, at(0));
        world.go(put).map(drop)
    })
}

fn tokens(refresh: &str) -> NewGrant {
    NewGrant {
        tokens: Secrets::new([("refresh".to_owned(), refresh.to_owned())].into()),
        scopes: Some(vec!["read".into()]),
        expires_at: Some(at(100)),
    }
}

fn put(world: &World, refresh: &str) {
    world
        .with_chance(|chance| {
            world.go(world.store.put_grant(&world.ws, "crm", tokens(refresh), chance, at(1)))
        })
        .unwrap();
}

fn grant(world: &World) -> Grant {
    world.go(world.store.grant(&world.ws, "crm")).unwrap().unwrap()
}

fn refresh(world: &World) -> String {
    grant(world).tokens.unwrap().get("refresh").unwrap().to_owned()
}

fn begin(world: &World, n: u64, seconds: i64) -> Result<()> {
    world.go(world.store.begin_renewal(&world.ws, "crm", n, LEASE, at(seconds)))
}

fn renewed(world: &World, n: u64, refresh: &str) -> Result<()> {
    world.with_chance(|chance| {
        world.go(world.store.renewed(
            &world.ws,
            "crm",
            Turn { n, begun: 1 },
            &tokens(refresh),
            chance,
            at(50),
        ))
    })
}

#[test]
fn of_many_who_come_at_once_one_renews() {
    let world = world();
    put(&world, "one");
    let task = || -> Task<'_, Result<()>> {
        Box::pin(world.store.begin_renewal(&world.ws, "crm", 1, LEASE, at(10)))
    };
    let begun = world.all((0..5).map(|_| task()).collect());
    assert_eq!(begun.iter().filter(|begun| begun.is_ok()).count(), 1, "{begun:?}");
    assert!(begun.iter().all(|begun| matches!(begun, Ok(()) | Err(Error::Conflict { .. }))), "{begun:?}");
    assert_eq!(grant(&world).unanswered, 1, "it is on record before anybody is asked");
    renewed(&world, 1, "two").unwrap();
    let after = grant(&world);
    assert_eq!((after.n, after.unanswered, after.scopes), (2, 0, Some(vec!["read".to_owned()])));
    assert_eq!(refresh(&world), "two");
    assert!(matches!(begin(&world, 1, 20), Err(Error::Conflict { .. })), "of what was seen before");
    begin(&world, 2, 20).unwrap();
}

#[test]
fn a_renewal_that_was_cut_off_leaves_the_old_tokens_and_its_trace() {
    let world = world();
    put(&world, "one");
    begin(&world, 1, 10).unwrap();
    assert!(matches!(begin(&world, 1, 69), Err(Error::Conflict { .. })), "the lease holds");
    assert_eq!((refresh(&world).as_str(), grant(&world).unanswered), ("one", 1));
    begin(&world, 1, 70).unwrap();
    let refuse = |answered| {
        world
            .go(world.store.not_renewed(&world.ws, "crm", grant(&world).turn(), "no", answered, at(71)))
            .unwrap();
        grant(&world)
    };
    let unanswered = refuse(false);
    assert_eq!((unanswered.unanswered, unanswered.problem), (2, Some(("no".to_owned(), at(71)))));
    begin(&world, 1, 72).unwrap();
    assert_eq!(refuse(true).unanswered, 0);
    // Who comes too late has its answer refused: the newer one stays.
    begin(&world, 1, 80).unwrap();
    put(&world, "agreed anew");
    assert!(matches!(renewed(&world, 1, "late"), Err(Error::Conflict { .. })));
    let now = grant(&world);
    assert_eq!((now.n, now.unanswered, now.problem), (2, 0, None));
    assert_eq!(refresh(&world), "agreed anew");
}

#[test]
fn it_begins_and_ends_with_its_connection() {
    let world = world();
    let none = world.go(world.store.begin_renewal(&world.ws, "none", 0, LEASE, at(1)));
    assert!(matches!(none, Err(Error::Conflict { .. })), "{none:?}");
    begin(&world, 0, 1).unwrap();
    let first = grant(&world);
    assert_eq!((first.n, first.unanswered, first.tokens.is_none()), (0, 1, true));
    renewed(&world, 0, "one").unwrap();
    let before = world.go(world.store.generation()).unwrap();
    put(&world, "two");
    assert_ne!(world.go(world.store.generation()).unwrap(), before, "whoever keeps tokens looks again");
    world.go(world.store.remove_connection(&world.ws, "crm")).unwrap();
    assert!(world.go(world.store.grant(&world.ws, "crm")).unwrap().is_none());
}

/// A node whose key is not in use any more is told so: who takes that for a newer grant drops the only refresh token.
#[test]
fn a_key_that_is_not_in_use_is_no_conflict() {
    let world = world();
    put(&world, "one");
    begin(&world, 1, 10).unwrap();
    let noted = |from: &str, to: &str| {
        world.change(&format!("UPDATE meta SET name = '{to}' WHERE name = '{from}'"));
    };
    noted("master_key", "elsewhere");
    let refused = renewed(&world, 1, "two");
    assert!(matches!(refused, Err(Error::Key(_))), "{refused:?}");
    let refused = begin(&world, 1, 90);
    assert!(matches!(refused, Err(Error::Key(_))), "nobody is asked for what cannot be kept: {refused:?}");
    noted("elsewhere", "master_key");
    assert_eq!(refresh(&world), "one");
    renewed(&world, 1, "two").unwrap();
    assert_eq!((grant(&world).n, refresh(&world).as_str()), (2, "two"));
}

#[test]
fn what_was_granted_to_other_credentials_is_over() {
    let world = world();
    put(&world, "one");
    connect(&world, &Along::default()).unwrap();
    assert_eq!(refresh(&world), "one", "the same credentials again");
    begin(&world, 1, 10).unwrap();
    connect(&world, &Along { over: true, ..Along::default() }).unwrap();
    let over = grant(&world);
    assert_eq!((over.n, over.tokens.is_none(), over.unanswered), (2, true, 0));
    assert!(matches!(renewed(&world, 1, "of the old"), Err(Error::Conflict { .. })), "it was under way");
    begin(&world, 2, 11).unwrap();
    renewed(&world, 2, "of the new").unwrap();
    assert_eq!(refresh(&world), "of the new");
}

/// A connection, its grant and its address are there together or not at all.
#[test]
fn what_comes_with_a_connection_comes_whole() {
    let world = World::new();
    let hook = HookId::new("hook_1");
    let missing = Along { registered: Some((hook.clone(), "we_1".into())), ..Along::default() };
    assert!(matches!(connect(&world, &missing), Err(Error::Conflict { .. })), "there is no such address");
    assert!(world.go(world.store.connections(&world.ws)).unwrap().is_empty());
    let along = || Along { grant: Some(tokens("one")), hook: Some(hook.clone()), ..Along::default() };
    connect(&world, &along()).unwrap();
    assert_eq!(refresh(&world), "one");
    connect(&world, &missing).unwrap();
    let hooks = world.go(world.store.hooks(&world.ws)).unwrap();
    assert_eq!((hooks.len(), hooks[0].registered.as_deref()), (1, Some("we_1")));
    // The same address twice: nothing of it is kept.
    assert!(connect(&world, &Along { grant: Some(tokens("two")), ..along() }).is_err());
    assert_eq!(refresh(&world), "one");
}

/// A renewal is of the connection that it was begun for, not of another one under the same name.
#[test]
fn a_connection_that_was_made_anew_is_given_nothing_of_the_old_one() {
    let world = world();
    put(&world, "of the old");
    begin(&world, 1, 10).unwrap();
    world.go(world.store.remove_connection(&world.ws, "crm")).unwrap();
    connect(&world, &Along { grant: Some(tokens("of the new")), ..Along::default() }).unwrap();
    let late = renewed(&world, 1, "of the old, renewed");
    assert!(matches!(late, Err(Error::Conflict { .. })), "{late:?}");
    assert_eq!((grant(&world).n, refresh(&world).as_str()), (1, "of the new"));
}

/// A node whose lease ran out does not end the lease of the one that has it now; but what it was given counts.
#[test]
fn who_comes_too_late_gives_nothing_back() {
    let world = world();
    put(&world, "one");
    begin(&world, 1, 10).unwrap();
    let first = grant(&world).turn();
    begin(&world, 1, 80).unwrap();
    world.go(world.store.not_renewed(&world.ws, "crm", first, "no", true, at(81))).unwrap();
    assert_eq!((grant(&world).problem, grant(&world).unanswered), (None, 2));
    assert!(matches!(begin(&world, 1, 82), Err(Error::Conflict { .. })), "the second one has it still");
    renewed(&world, 1, "two").unwrap();
    assert_eq!((grant(&world).n, refresh(&world).as_str()), (2, "two"));
}
