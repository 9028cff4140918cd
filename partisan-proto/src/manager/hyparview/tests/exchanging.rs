//! X-BOT: exchanges of four, between nodes whose links cost what a table says.

use super::*;
use crate::config::{Criterion, Oracle, XBotConfig};
use crate::question::{Question, Response};
use crate::wire::{Costs, Optimize, Round};

const INITIATOR: usize = 0;
const OLD: usize = 1;
const CANDIDATE: usize = 2;
const FOURTH: usize = 3;
/// Beside the four, so that each has a second neighbour.
const BESIDE: [usize; 2] = [4, 5];

/// What a link costs, in milliseconds, in the world of the four.
fn cost(one: usize, other: usize) -> u64 {
    match (one.min(other), one.max(other)) {
        (INITIATOR, OLD) | (CANDIDATE, FOURTH) => 40,
        (INITIATOR, CANDIDATE) | (OLD, FOURTH) => 10,
        // The dearest, which are never exchanged.
        (INITIATOR, 4) | (CANDIDATE, 5) => 100,
        _ => 50,
    }
}

fn round_trip(one: usize, other: usize) -> Duration {
    Duration::from_millis(cost(one, other))
}

/// Nobody tries an exchange unless told to.
fn xbot() -> XBotConfig {
    XBotConfig { interval: Duration::from_secs(1 << 30), ..XBotConfig::default() }
}

fn exchanging(active_size: usize, xbot: XBotConfig) -> HyParViewConfig {
    HyParViewConfig { xbot: Some(xbot), ..sized(active_size) }
}

/// Makes two nodes neighbours, and lets both know what their link costs.
fn link(mesh: &mut Mesh<HyParView>, one: usize, other: usize) {
    let known = intro(other, LIFE).into();
    mesh.run(one, |manager, cx| manager.seek(cx, known, Purpose::Fill));
    mesh.settle();
    for (node, peer) in [(one, other), (other, one)] {
        let (peer, span) = (id(peer), (mesh.round_trip)(node, peer));
        mesh.run(node, |manager, cx| manager.change(cx, &Change::RoundTrip { node: peer, span }));
    }
    assert!(neighbors_of(mesh, one).contains(&other) && neighbors_of(mesh, other).contains(&one));
}

/// The four and the two beside them in a ring, everybody full; the initiator knows the candidate.
fn four(xbot: XBotConfig) -> Mesh<HyParView> {
    let mut mesh = strangers(6, &exchanging(2, xbot));
    mesh.round_trip = round_trip;
    let ring = [INITIATOR, OLD, BESIDE[1], CANDIDATE, FOURTH, BESIDE[0], INITIATOR];
    ring.windows(2).for_each(|pair| link(&mut mesh, pair[0], pair[1]));
    for node in 0..6 {
        forget_others(&mut mesh, node);
    }
    mesh.run(INITIATOR, |manager, _| manager.reserve(intro(CANDIDATE, LIFE).into()));
    mesh
}

/// A node knows its neighbours alone.
fn forget_others(mesh: &mut Mesh<HyParView>, node: usize) {
    mesh.run(node, |manager, _| {
        manager.passive.clear();
        manager.book.clear();
    });
}

fn optimize(mesh: &mut Mesh<HyParView>, node: usize) {
    mesh.run(node, |manager, cx| manager.optimize(cx));
}

/// Links by number, the smaller first.
fn links(mesh: &Mesh<HyParView>) -> Vec<(usize, usize)> {
    let all = 0..mesh.machines.len();
    let of = |node: usize| neighbors_of(mesh, node).into_iter().map(move |other| (node, other));
    all.flat_map(of).filter(|(one, other)| one < other).collect()
}

fn total(mesh: &Mesh<HyParView>) -> u128 {
    let cost = |(one, other)| (mesh.round_trip)(one, other).as_micros();
    links(mesh).into_iter().map(cost).sum()
}

fn has_swapped(mesh: &Mesh<HyParView>) -> bool {
    let links = links(mesh);
    links.contains(&(INITIATOR, CANDIDATE)) && links.contains(&(OLD, FOURTH))
}

#[test]
fn four_nodes_exchange_two_links_for_cheaper_ones_and_keep_their_degrees() {
    for criterion in [Criterion::Each, Criterion::Sum] {
        let mut mesh = four(XBotConfig { criterion, ..xbot() });
        let before = total(&mesh);
        optimize(&mut mesh, INITIATOR);
        mesh.settle();
        assert!(has_swapped(&mesh), "{criterion:?}: {:?}", links(&mesh));
        assert_eq!(total(&mesh), before - 60_000);
        assert!((0..6).all(|node| neighbors_of(&mesh, node).len() == 2));
        assert_sound(&mesh);
        mesh.pass(Duration::from_secs(20));
        assert!(has_swapped(&mesh), "and so it stays");
        assert_at_rest(&mesh);
    }
}

#[test]
fn whoever_follows_the_overlay_sees_one_neighbor_take_the_place_of_another() {
    let mut mesh = four(xbot());
    optimize(&mut mesh, INITIATOR);
    mesh.settle();
    for (node, gone, come) in [
        (INITIATOR, OLD, CANDIDATE),
        (OLD, INITIATOR, FOURTH),
        (CANDIDATE, FOURTH, INITIATOR),
        (FOURTH, CANDIDATE, OLD),
    ] {
        let told = mesh.notifications.iter().filter(|(teller, _)| *teller == node);
        let overlay: Vec<_> = told.map(|(_, note)| note).rev().take(4).collect();
        let down = overlay
            .iter()
            .any(|note| matches!(note, Notification::NeighborDown { node } if *node == id(gone)));
        let up = overlay.iter().any(
            |note| matches!(note, Notification::NeighborUp { instance } if instance.node == id(come)),
        );
        assert!(down && up, "node {node}: {overlay:?}");
    }
}

/// How many messages the exchange of the four takes, the looks included.
fn steps() -> usize {
    let mut mesh = four(xbot());
    optimize(&mut mesh, INITIATOR);
    core::iter::from_fn(|| mesh.step().then_some(())).count()
}

/// Delivers so many messages, if there are so many.
fn advance(mesh: &mut Mesh<HyParView>, messages: usize) {
    for _ in 0..messages {
        mesh.step();
    }
}

/// The exchange is disturbed after so many messages; in the end nothing is left of it.
fn disturbed(after: usize, disturb: impl FnOnce(&mut Mesh<HyParView>)) {
    let mut mesh = four(xbot());
    optimize(&mut mesh, INITIATOR);
    advance(&mut mesh, after);
    disturb(&mut mesh);
    while mesh.step() {
        assert_sound(&mesh);
    }
    mesh.pass(Duration::from_secs(200));
    assert_sound(&mesh);
    assert_at_rest(&mesh);
    let live = |node: &usize| !mesh.cut.contains(node);
    for node in (0..6).filter(live) {
        let committed = (0..6).any(|other| mesh.machines[node].manager.is_committed(id(other)));
        assert!(!committed, "{after}: an exchange never ended at {node}");
    }
    let alone = (0..6).filter(live).find(|node| neighbors_of(&mesh, *node).is_empty());
    assert_eq!(alone, None, "{after}: {:?}", links(&mesh));
}

#[test]
fn any_of_the_four_may_die_at_any_moment() {
    assert!(steps() >= 6, "the questions and the answers");
    for after in 0..=steps() {
        for dead in [INITIATOR, OLD, CANDIDATE, FOURTH] {
            disturbed(after, |mesh| mesh.lose(dead));
        }
    }
}

#[test]
fn any_session_may_break_at_any_moment() {
    for after in 0..=steps() {
        for one in 0..4 {
            for other in one + 1..4 {
                disturbed(after, |mesh| mesh.disconnect(one, other));
            }
        }
    }
}

#[test]
fn any_of_the_four_may_leave_or_stop_at_any_moment() {
    for after in 0..=steps() {
        for gone in [INITIATOR, OLD, CANDIDATE, FOURTH] {
            let mut mesh = four(xbot());
            optimize(&mut mesh, INITIATOR);
            advance(&mut mesh, after);
            mesh.command(gone, Command::Leave);
            mesh.settle();
            mesh.pass(Duration::from_secs(200));
            assert_sound(&mesh);
            assert_at_rest(&mesh);
            assert!(neighbors_of(&mesh, gone).is_empty());
        }
    }
}

#[test]
fn the_dearest_is_protected_and_so_is_who_holds_a_kept_place() {
    let mut mesh = four(XBotConfig { protected: 2, ..xbot() });
    let before = links(&mesh);
    optimize(&mut mesh, INITIATOR);
    mesh.settle();
    mesh.pass(Duration::from_secs(20));
    assert_eq!(links(&mesh), before);
    for protected in [1, 2] {
        let mut mesh = four(XBotConfig { protected, ..xbot() });
        optimize(&mut mesh, INITIATOR);
        mesh.settle();
        assert!(links(&mesh).contains(&(INITIATOR, BESIDE[0])), "the dearest");
    }
}

#[test]
fn little_gains_are_not_worth_an_exchange() {
    use Criterion::{Each, Sum};
    // From 40 ms to 10 each, or from 80 to 20 together.
    for (criterion, least_gain, least_saving, worth) in [
        (Each, 75, 0, true),
        (Each, 76, 0, false),
        (Each, 0, 30_000, true),
        (Each, 0, 30_001, false),
        (Sum, 75, 60_000, true),
        (Sum, 76, 0, false),
        (Sum, 0, 60_001, false),
    ] {
        let mut mesh = four(XBotConfig { criterion, least_gain, least_saving, ..xbot() });
        optimize(&mut mesh, INITIATOR);
        mesh.settle();
        let text = format!("{criterion:?}, {least_gain} % and {least_saving}");
        assert_eq!(has_swapped(&mesh), worth, "{text}");
    }
}

#[test]
fn what_is_unknown_or_too_old_never_wins() {
    let mut mesh = four(XBotConfig { cost_memory: Duration::from_secs(5), ..xbot() });
    mesh.pass(Duration::from_secs(6));
    mesh.run(INITIATOR, |manager, _| manager.reserve(intro(CANDIDATE, LIFE).into()));
    let before = links(&mesh);
    // What its own links cost is found out again by this one, what the others' cost is not.
    optimize(&mut mesh, INITIATOR);
    mesh.settle();
    optimize(&mut mesh, INITIATOR);
    mesh.settle();
    assert_eq!(links(&mesh), before);
}

#[test]
fn a_candidate_with_room_takes_the_initiator_and_nobody_else_is_asked() {
    let mut mesh = four(xbot());
    let old = mesh.machines[INITIATOR].manager.peers.is_active(id(OLD));
    assert!(old);
    mesh.lose(FOURTH);
    forget_others(&mut mesh, CANDIDATE);
    optimize(&mut mesh, INITIATOR);
    mesh.settle();
    assert!(links(&mesh).contains(&(INITIATOR, CANDIDATE)));
    mesh.pass(Duration::from_secs(100));
    assert_at_rest(&mesh);
}

fn proposal(round: u32) -> HyParViewMessage {
    let round = Round { initiator: instance(&spec(9), LIFE), number: round };
    let costs = Some(Costs { old: 40_000, new: 10_000 });
    HyParViewMessage::Optimize(Box::new(Optimize { round, seen: 0, old: intro(8, LIFE), costs }))
}

#[test]
fn who_takes_part_in_one_exchange_says_no_to_others_at_once() {
    let mut machine = with_neighbors(exchanging(2, xbot()), 2);
    for (number, millis) in [(1, 100), (2, 40)] {
        let (node, span) = (id(number), Duration::from_millis(millis));
        machine.change(Change::RoundTrip { node, span });
    }
    connect(&mut machine, 9);
    let output = hear(&mut machine, 9, proposal(1));
    assert!(matches!(told(&output, 2)[..], [HyParViewMessage::Replace(_)]), "the dearest but one");
    connect(&mut machine, 10);
    let round = Round { initiator: instance(&spec(10), LIFE), number: 1 };
    let costs = Some(Costs { old: 40_000, new: 10_000 });
    let other = Optimize { round, seen: 0, old: intro(8, LIFE), costs };
    let output = hear(&mut machine, 10, HyParViewMessage::Optimize(Box::new(other)));
    let [HyParViewMessage::Optimized(verdict)] = told(&output, 10)[..] else { panic!() };
    assert!(!verdict.accepted);
    let output = machine.pass(xbot().round_timeout);
    let denied = told(&output, 9).into_iter().any(
        |message| matches!(message, HyParViewMessage::Optimized(verdict) if !verdict.accepted),
    );
    assert!(denied, "nobody waits for ever: {output:?}");
    assert!(machine.timers.due(Timer::EndRound).is_none());
}

#[test]
fn the_application_is_asked_where_it_is_the_oracle() {
    let config = exchanging(2, XBotConfig { oracle: Oracle::Application, ..xbot() });
    let mut machine = with_neighbors(config, 2);
    machine.run(|manager, _| manager.reserve(intro(9, LIFE).into()));
    let answer = |machine: &mut Machine<HyParView>, output: &Output| {
        let mut after = Vec::new();
        for action in &output.actions {
            if let Action::Ask { id: question, question: Question::Cost { node, .. } } = action {
                let number = [1, 2, 9].into_iter().find(|number| id(*number) == *node).unwrap();
                let response = Response::Cost(Some([0, 90_000, 40_000][number % 9]));
                let output = machine.run(|manager, cx| manager.answered(cx, *question, &response));
                after.push((number, output));
            }
        }
        after
    };
    let output = machine.run(|manager, cx| manager.optimize(cx));
    assert_eq!(answer(&mut machine, &output).len(), 2, "what its own links cost");
    let output = machine.run(|manager, cx| manager.optimize(cx));
    let [(9, asked)] = &answer(&mut machine, &output)[..] else { panic!() };
    assert_eq!(dialled(asked), [id(9)]);
    let output = connect(&mut machine, 9);
    assert!(matches!(told(&output, 9)[..], [HyParViewMessage::Optimize(_)]));
    // An answer to nothing changes nothing.
    let stray = Response::Cost(Some(1));
    let output = machine.run(|manager, cx| manager.answered(cx, QuestionId(999), &stray));
    assert!(output.actions.is_empty());
}

/// Nodes on a line; the further apart, the dearer.
fn line(criterion: Criterion) -> Mesh<HyParView> {
    let xbot = XBotConfig {
        interval: Duration::from_secs(10),
        least_gain: 1,
        least_saving: 1,
        criterion,
        ..XBotConfig::default()
    };
    let config = exchanging(4, xbot);
    let mut mesh = strangers(24, &config);
    mesh.round_trip = |one, other| Duration::from_millis(5 * one.abs_diff(other) as u64);
    for node in 1..24 {
        mesh.join(node, 0);
        mesh.pass(Duration::from_millis(50));
    }
    mesh.pass(Duration::from_secs(30));
    mesh
}

#[test]
fn cost_never_rises_and_nobody_loses_a_neighbor() {
    for criterion in [Criterion::Each, Criterion::Sum] {
        let mut mesh = line(criterion);
        let full = |mesh: &Mesh<HyParView>| (0..24).all(|node| neighbors_of(mesh, node).len() == 4);
        let complete = (0..600).any(|_| {
            mesh.pass(Duration::from_secs(1));
            full(&mesh)
        });
        assert!(complete, "{criterion:?}: somebody never found a neighbour");
        let mut last = total(&mesh);
        for _ in 0..400 {
            mesh.pass(Duration::from_secs(1));
            let now = total(&mesh);
            assert!(now <= last, "{criterion:?}: {now} after {last}");
            assert!(full(&mesh), "{criterion:?}: somebody lost a neighbour");
            last = now;
        }
        // Eight hops is the mean distance of two at random.
        let mean = last / 48 / 5_000;
        assert!(mean <= 5, "{criterion:?}: a link is {mean} long");
        assert_eq!(component(&mesh, 0).len(), 24, "{criterion:?}");
    }
}
