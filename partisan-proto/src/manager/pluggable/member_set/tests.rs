//! The laws of the member set, and its behaviour at each step.

use super::*;
use crate::manager::testing::spec_at;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    members: 100,
    removals: 100,
    spread: Duration::from_secs(60),
    memory: Duration::from_secs(600),
};

fn set() -> MemberSet {
    MemberSet::new(LIMITS)
}

fn node(name: &str) -> NodeId {
    spec_at(name, 1).id()
}

fn present(name: &str, incarnation: u64, joined: u64, port: u16) -> Entry {
    let spec = spec_at(name, port);
    Entry {
        node: spec.id(),
        removed: Incarnation::NONE,
        presence: Some(Presence {
            incarnation: Incarnation(incarnation),
            joined: Incarnation(joined),
            spec,
        }),
    }
}

fn gone(name: &str, removed: u64) -> Entry {
    Entry { node: node(name), removed: Incarnation(removed), presence: None }
}

fn learn(set: &mut MemberSet, entry: &Entry) -> Effect {
    set.merge(entry, Instant::ZERO).unwrap().effect
}

fn of(entries: &[Entry]) -> MemberSet {
    let mut set = set();
    for entry in entries {
        learn(&mut set, entry);
    }
    set
}

fn merged(one: &MemberSet, other: &MemberSet) -> MemberSet {
    let mut all = one.clone();
    for entry in other.entries() {
        learn(&mut all, &entry);
    }
    all
}

fn ports(set: &MemberSet) -> Vec<u16> {
    let port = |(_, presence): (_, &Presence)| presence.spec.addresses()[0].port;
    let mut ports: Vec<u16> = set.members().map(port).collect();
    ports.sort_unstable();
    ports
}

fn recomputed(set: &MemberSet) -> Digest {
    let mut digest = Digest::default();
    for entry in set.entries() {
        digest.entries += 1;
        digest.hash ^= entry_hash(entry.node, entry.removed, entry.presence.as_ref());
    }
    digest
}

// The unit tests of the original's set, by their names there; where that one has two specs of one
// name, this one has two incarnations.

#[test]
fn add_remove() {
    let mut set = of(&[present("a", 1, 1, 1)]);
    assert_eq!(ports(&set), [1]);
    assert!(set.remove(node("a"), Incarnation::NONE, Instant::ZERO));
    assert!(set.is_empty());
    assert!(!set.remove(node("a"), Incarnation::NONE, Instant::ZERO));
    assert!(!set.remove(node("unknown"), Incarnation::NONE, Instant::ZERO));
}

#[test]
fn update_on_one_side() {
    let old = of(&[present("a", 1, 1, 1)]);
    let new = of(&[present("a", 2, 1, 2)]);
    assert_eq!(merged(&old, &new), new);
    assert_eq!(merged(&new, &old), new);
}

#[test]
fn concurrent_updates_keep_one_entry_a_name() {
    let (one, other) = (of(&[present("a", 2, 1, 2)]), of(&[present("a", 3, 1, 3)]));
    let all = merged(&one, &other);
    assert_eq!(ports(&all), [3]);
    assert_eq!(all, merged(&other, &one));
}

#[test]
fn concurrent_remove_and_update_within_a_stay_remove() {
    let mut removing = of(&[present("a", 1, 1, 1)]);
    let updating = of(&[present("a", 1, 1, 1), present("a", 2, 1, 2)]);
    removing.remove(node("a"), Incarnation::NONE, Instant::ZERO);
    assert!(merged(&removing, &updating).is_empty());
    assert!(merged(&updating, &removing).is_empty());
}

#[test]
fn concurrent_remove_and_new_stay_add() {
    let mut removing = of(&[present("a", 1, 1, 1)]);
    let returning = of(&[present("a", 2, 2, 2)]);
    removing.remove(node("a"), Incarnation::NONE, Instant::ZERO);
    assert_eq!(ports(&merged(&removing, &returning)), [2]);
    assert_eq!(ports(&merged(&returning, &removing)), [2]);
}

#[test]
fn associative_with_removes() {
    let a = of(&[present("a", 1, 1, 1), present("b", 1, 1, 2)]);
    let mut b = a.clone();
    b.remove(node("a"), Incarnation::NONE, Instant::ZERO);
    let c = of(&[present("a", 2, 2, 3), gone("b", 1)]);
    let left = merged(&merged(&a, &b), &c);
    assert_eq!(left, merged(&a, &merged(&b, &c)));
    assert_eq!(left, merged(&merged(&c, &a), &b));
    assert_eq!(ports(&left), [3]);
}

#[test]
fn concurrent_addition_of_another_node_survives_a_removal() {
    let mut one = of(&[present("a", 1, 1, 1)]);
    let other = of(&[present("a", 1, 1, 1), present("b", 1, 1, 2)]);
    one.remove(node("a"), Incarnation::NONE, Instant::ZERO);
    assert_eq!(ports(&merged(&one, &other)), [2]);
}

#[test]
fn present_but_removed() {
    // A's view of a removed member comes back to a node that knows of the removal.
    let a = of(&[present("x", 1, 1, 1)]);
    let mut b = a.clone();
    b.remove(node("x"), Incarnation::NONE, Instant::ZERO);
    let c = merged(&a, &b);
    assert!(merged(&c, &a).is_empty());
}

#[test]
fn nothing_is_left_of_a_member_everybody_removed() {
    let mut a = of(&[present("x", 1, 1, 1)]);
    let mut b = of(&[present("x", 2, 1, 2)]);
    a.remove(node("x"), Incarnation::NONE, Instant::ZERO);
    b.remove(node("x"), Incarnation::NONE, Instant::ZERO);
    let both = merged(&a, &b);
    assert!(both.is_empty());
    assert_eq!(both.removed(node("x")), Incarnation(2));
}

#[test]
fn equality_after_merging_both_ways_only() {
    let a = of(&[present("a", 1, 1, 1)]);
    let b = of(&[present("b", 1, 1, 2)]);
    assert_ne!(a, b);
    assert_ne!(merged(&a, &b), b);
    assert_eq!(merged(&a, &b), merged(&b, &a));
}

// Rules of its own.

#[test]
fn effects_tell_joining_restarting_updating_and_leaving_apart() {
    let mut set = set();
    assert_eq!(learn(&mut set, &present("a", 1, 1, 1)), Effect::Joined { again: false });
    assert_eq!(learn(&mut set, &present("a", 1, 1, 1)), Effect::Nothing);
    assert_eq!(learn(&mut set, &present("a", 2, 1, 2)), Effect::Joined { again: true });
    assert_eq!(learn(&mut set, &present("a", 2, 1, 3)), Effect::Grew);
    assert_eq!(learn(&mut set, &present("a", 1, 1, 1)), Effect::Nothing);
    assert_eq!(learn(&mut set, &gone("a", 2)), Effect::Left);
    assert_eq!(learn(&mut set, &gone("a", 5)), Effect::Grew);
    assert_eq!(learn(&mut set, &gone("a", 3)), Effect::Nothing);
    assert_eq!(learn(&mut set, &gone("unknown", 3)), Effect::Grew);
}

#[test]
fn a_sender_that_knows_less_is_told_apart() {
    let mut set = of(&[present("a", 2, 1, 1)]);
    let behind =
        |set: &mut MemberSet, entry: Entry| set.merge(&entry, Instant::ZERO).unwrap().behind;
    assert!(behind(&mut set, present("a", 1, 1, 1)));
    assert!(!behind(&mut set, present("a", 2, 1, 1)));
    assert!(!behind(&mut set, present("a", 3, 1, 1)));
    assert!(behind(&mut set, gone("a", 0)));
    assert!(!behind(&mut set, gone("a", 3)));
    assert!(behind(&mut set, present("a", 3, 1, 1)));
}

#[test]
fn removing_covers_the_newest_life_seen() {
    let mut set = of(&[present("a", 2, 1, 1)]);
    assert!(set.remove(node("a"), Incarnation(4), Instant::ZERO));
    assert_eq!(set.removed(node("a")), Incarnation(4));
    assert_eq!(learn(&mut set, &present("a", 4, 4, 1)), Effect::Nothing);
    assert_eq!(learn(&mut set, &present("a", 5, 5, 1)), Effect::Joined { again: false });
}

#[test]
fn entries_that_contradict_themselves_are_ignored_and_counted() {
    let mut set = set();
    let wrong_node = Entry { node: node("b"), ..present("a", 1, 1, 1) };
    let entries = [wrong_node, present("a", 1, 0, 1), present("a", 0, 0, 1), present("a", 1, 2, 1)];
    for entry in &entries {
        assert_eq!(set.merge(entry, Instant::ZERO), Err(Rejected::Malformed));
    }
    assert_eq!(set.counters().malformed, 4);
    assert_eq!(set, MemberSet::new(LIMITS));
}

#[test]
fn one_member_too_many_is_refused_and_counted() {
    let limits = Limits { members: 2, ..LIMITS };
    let mut set = MemberSet::new(limits);
    learn(&mut set, &present("a", 1, 1, 1));
    learn(&mut set, &present("b", 1, 1, 2));
    let third = present("c", 1, 1, 3);
    assert_eq!(set.merge(&third, Instant::ZERO), Err(Rejected::Full));
    assert_eq!(set.counters().refused, 1);
    // Members known already still change, and one that leaves makes room.
    assert_eq!(learn(&mut set, &present("b", 2, 1, 4)), Effect::Joined { again: true });
    learn(&mut set, &gone("a", 1));
    assert_eq!(learn(&mut set, &third), Effect::Joined { again: false });
}

#[test]
fn the_removal_learned_first_is_forgotten_first() {
    let limits = Limits { removals: 2, ..LIMITS };
    let mut set = MemberSet::new(limits);
    for (second, name) in ["a", "b", "c"].into_iter().enumerate() {
        let now = Instant::from_secs(second as u64);
        set.merge(&gone(name, 1), now).unwrap();
    }
    assert_eq!(set.removed(node("a")), Incarnation::NONE);
    assert_eq!(set.removed(node("b")), Incarnation(1));
    assert_eq!(set.removed(node("c")), Incarnation(1));
    assert_eq!(set.counters().crowded_out, 1);
    assert_eq!(set.digest(), recomputed(&set));
}

#[test]
fn removals_leave_the_digest_first_and_memory_later() {
    let mut set = of(&[present("a", 1, 1, 1)]);
    let alone = set.digest();
    set.merge(&gone("b", 3), Instant::from_secs(10)).unwrap();
    assert_ne!(set.digest(), alone);
    set.age(Instant::from_secs(69));
    assert_ne!(set.digest(), alone);
    set.age(Instant::from_secs(70));
    assert_eq!(set.digest(), alone);
    let all =
        |set: &MemberSet| set.summary(NodeId::from_u64(0), NodeId::from_u64(u64::MAX)).count();
    assert_eq!(all(&set), 1);
    // Out of the digest it still guards.
    assert_eq!(learn(&mut set, &present("b", 3, 3, 1)), Effect::Nothing);
    assert_eq!(set.age(Instant::from_secs(609)), 0);
    assert_eq!(set.age(Instant::from_secs(610)), 1);
    assert_eq!(set.removed(node("b")), Incarnation::NONE);
    assert_eq!(set.digest(), alone);
}

#[test]
fn another_name_with_a_known_identifier_is_ignored_and_counted() {
    // No two short names collide, so the known entry is made to.
    let mut set = of(&[present("a", 1, 1, 1)]);
    let record = set.records.get_mut(&node("a")).unwrap();
    record.presence.as_mut().unwrap().spec = spec_at("other", 1);
    let news = present("a", 9, 9, 1);
    assert_eq!(set.merge(&news, Instant::ZERO), Err(Rejected::Collision));
    assert_eq!(set.counters().collisions, 1);
    let kept = set.presence(node("a")).unwrap();
    assert_eq!(kept.spec.name().as_str(), "other");
}

#[test]
fn hashes_are_the_same_for_ever() {
    let digest = of(&[present("a@h", 2, 1, 9000), gone("b@h", 7)]).digest();
    assert_eq!((digest.entries, digest.hash), GOLDEN);
}

const GOLDEN: (u32, u64) = (2, 14_765_188_456_318_295_565);

fn entry() -> impl Strategy<Value = Entry> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let presence = prop::option::of((1..6u64, 0..4u64, 1..4u16));
    (name, 0..6u64, presence).prop_map(|(name, removed, presence)| {
        let mut entry = gone(name, removed);
        if let Some((joined, restarts, port)) = presence {
            entry.presence = present(name, joined + restarts, joined, port).presence;
        }
        entry
    })
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(entry(), 0..12)
}

proptest! {
    #[test]
    fn merging_is_commutative(a in entries(), b in entries()) {
        let (a, b) = (of(&a), of(&b));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
    }

    #[test]
    fn merging_is_associative(a in entries(), b in entries(), c in entries()) {
        let (a, b, c) = (of(&a), of(&b), of(&c));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
    }

    #[test]
    fn merging_is_idempotent(a in entries(), b in entries()) {
        let (a, b) = (of(&a), of(&b));
        let once = merged(&a, &b);
        prop_assert_eq!(&merged(&once, &b), &once);
        prop_assert_eq!(&merged(&a, &a), &a);
    }

    #[test]
    fn the_order_of_news_does_not_matter(
        (news, shuffled) in entries().prop_flat_map(|news| {
            (Just(news.clone()), Just(news).prop_shuffle())
        })
    ) {
        prop_assert_eq!(of(&news), of(&shuffled));
    }

    #[test]
    fn merging_only_grows(a in entries(), b in entries()) {
        let a = of(&a);
        let both = merged(&a, &of(&b));
        for old in a.entries() {
            let new = both.entry(old.node).unwrap();
            prop_assert!(new.removed >= old.removed);
            if let Some(old) = &old.presence {
                let covered = old.joined <= new.removed;
                let newer = new.presence.as_ref().is_some_and(|new| rank(new) >= rank(old));
                prop_assert!(covered || newer);
            }
        }
    }

    #[test]
    fn effects_say_exactly_whether_something_changed(a in entries(), b in entries()) {
        let mut set = of(&a);
        for entry in b {
            let before = set.clone();
            let effect = learn(&mut set, &entry);
            prop_assert_eq!(effect == Effect::Nothing, set == before);
        }
    }

    #[test]
    fn the_digest_is_that_of_the_entries(a in entries()) {
        let set = of(&a);
        prop_assert_eq!(set.digest(), recomputed(&set));
        prop_assert_eq!(set.len(), set.members().count());
    }

    #[test]
    fn equal_digests_mean_equal_sets(a in entries(), b in entries()) {
        let (a, b) = (of(&a), of(&b));
        prop_assert_eq!(a.digest() == b.digest(), a == b);
    }

    #[test]
    fn a_removed_stay_never_comes_back(a in entries(), later in entries()) {
        let mut set = of(&a);
        let nodes: Vec<NodeId> = set.members().map(|(node, _)| node).collect();
        for node in nodes {
            set.remove(node, Incarnation::NONE, Instant::ZERO);
            let removed = set.removed(node);
            for entry in later.iter().filter(|entry| entry.node == node) {
                learn(&mut set, entry);
                let joined = set.presence(node).map(|presence| presence.joined);
                prop_assert!(joined.is_none_or(|joined| joined > removed));
            }
        }
    }
}
