//! Budgets that nodes share: places one after the other, whoever takes them, and the vendor's word for all.

use super::world::{World, at};
use jiff::SignedDuration;
use store::Budget;

const SECOND: i64 = 1_000_000;

#[test]
fn places_come_one_after_the_other_whoever_takes_them() {
    let world = World::new();
    let take = |node: &str, places: u32, now: i64| {
        let taken = world.store.take_budget((&world.ws, "acme"), node, (places, SECOND), at(now));
        let Budget { ahead, closed, nodes } = world.go(taken).unwrap();
        (ahead.as_secs(), closed.map(|closed| closed.as_secs()), nodes)
    };
    let close = |wait: i64, now: i64| {
        let wait = SignedDuration::from_secs(wait);
        world.go(world.store.close_budget((&world.ws, "acme"), wait, at(now))).unwrap();
    };
    assert_eq!(take("a", 3, 1000), (0, None, 1));
    assert_eq!(take("b", 2, 1000), (3, None, 2), "after those of the other node");
    assert_eq!(take("a", 1, 1003), (2, None, 2));
    // What passed unused is not saved up.
    assert_eq!(take("a", 1, 1100), (0, None, 1), "the other one has not been here for a minute");
    close(50, 1100);
    close(10, 1100);
    assert_eq!(take("b", 1, 1120), (0, Some(30), 2));
    assert_eq!(take("b", 1, 1151), (0, None, 2));
    // Who only looks takes nothing, and is told what the others are.
    assert_eq!(take("c", 0, 1151), (1, None, 3));
    assert_eq!(take("a", 1, 1151), (1, None, 3));
    // Each connection has its own.
    let other = world.store.take_budget((&world.ws, "other"), "a", (1, SECOND), at(1151));
    assert_eq!(world.go(other).unwrap().nodes, 1);
}
