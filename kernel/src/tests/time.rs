//! Slots and sleeping: whose slot it is, and what wakes its owner.
//!
//! Not here: directed yields ([`super::chain`]) and the end of a slice ([`super::excess`]).

use super::world::*;
use core::sync::atomic::Ordering::Relaxed;

#[test]
fn two_cores_may_sleep_for_the_same_activation() {
    let mut world = World::boot();
    let child = world.spawn(0, 0, 0);
    world.give_slots(0, 0, 2..9, child.target(0));
    world.give_slots(0, 1, 2..9, child.target(0));
    while world.who(0) != Some((child.index, 0)) {
        world.advance(QUANTUM);
    }
    world.clear_events(child.index, 0);
    let wake_at = world.now() + 3 * QUANTUM / 2;
    world.call(0, "wait", &[wake_at]);
    world.advance(QUANTUM); // both cores begin a slot of the child's
    assert_eq!((world.who(0), world.who(1)), (None, None));
    world.advance(QUANTUM);
    let runs = [0, 1].map(|core| world.who(core) == Some((child.index, 0)));
    assert!(runs == [true, false] || runs == [false, true], "it runs on one of them: {runs:?}");
    assert!(world.page(child.index, 0).ran.load(Relaxed) > 0);
}
