//! The epidemic protocols of Demers et al. (Epidemic algorithms for replicated database maintenance,
//! PODC 1987), which Partisan tries its fault injection on, and their known counterexamples: each
//! must be found by trying all sets of lost messages, the smallest first, and none where there is
//! none.

mod protocols;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use partisan_proto::process::SpawnOptions;
use partisan_proto::wire::{Destination, Frame};
use partisan_proto::{ChannelId, Command, Config, Duration, Send, Target};
use partisan_sim::rules::{InFlight, Verdict};
use partisan_tests::{Cluster, Simulated};
use protocols::{FANOUT, Heard, Protocol, Rumour, Teller, name, new};

const NODES: usize = 4;
/// The rumour of the tests, which node 0 has.
const RUMOUR: Rumour = 7;
/// By then everybody has it, says the original's model.
const BOUND: Duration = Duration::from_secs(5);
/// By then whatever is sent again has arrived.
const LONG: Duration = Duration::from_secs(60);
/// So many of the first messages may be lost.
const FIRST: usize = 9;

/// What goes wrong in a trial.
#[derive(Clone, Debug, Default)]
struct Faults {
    /// These messages of the protocol are lost, numbered as they are sent.
    lost: BTreeSet<usize>,
    /// No message of the protocol passes between node 0 and this one, ever.
    cut: Option<usize>,
    /// Node 0 dies a second after it had the rumour.
    crash: bool,
}

/// Who alive has the rumour in time, and who has it at all.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    soon: BTreeSet<usize>,
    late: BTreeSet<usize>,
}

impl Outcome {
    fn is_timely(&self) -> bool {
        self.soon.len() == NODES
    }

    fn is_whole(&self) -> bool {
        self.late.len() == NODES
    }
}

/// Node 0 of a full mesh has a rumour, and faults happen.
fn trial(protocol: Protocol, seed: u64, faults: &Faults) -> Outcome {
    let mut cluster = Simulated::new(seed);
    cluster.form(NODES, &Config::default());
    let all: Vec<_> = (0..NODES).map(|node| cluster.id(node)).collect();
    let heard: Vec<Heard> = (0..NODES).map(|_| Heard::default()).collect();
    for (node, heard) in heard.iter().enumerate() {
        let draws = seed * NODES as u64 + node as u64 + 1;
        let teller = Teller::new(protocol, all.clone(), heard.clone(), draws);
        let options = SpawnOptions { name: Some(name()), ..SpawnOptions::default() };
        cluster.world.spawn_with(node, Box::new(teller), options).expect("it lives");
    }
    lose(&mut cluster, faults.clone());
    let destination = Destination::of(&Target::Name(all[0], name()));
    let channel = ChannelId::DEFAULT;
    let payload = new(RUMOUR);
    let send = Send { to: all[0], channel, key: None, destination, relay: false, payload };
    cluster.ask(0, Command::Send(send));
    if faults.crash {
        cluster.world.run_for(Duration::from_secs(1));
        cluster.crash(0);
    }
    let knows = |node: &usize| heard[*node].lock().expect("sound").contains(&RUMOUR);
    cluster.world.run_for(BOUND);
    let soon = cluster.world.live().filter(knows).collect();
    cluster.world.run_for(LONG);
    Outcome { soon, late: cluster.world.live().filter(knows).collect() }
}

/// Loses what is to be lost.
fn lose(cluster: &mut Simulated, faults: Faults) {
    let sent = Arc::new(AtomicUsize::new(0));
    cluster.world.rule(move |flight: &InFlight<'_>| {
        let Frame::App { destination: Destination::Name(_), .. } = flight.frame else {
            return Verdict::Pass;
        };
        let number = sent.fetch_add(1, Ordering::Relaxed);
        let cut = faults
            .cut
            .is_some_and(|node| [(0, node), (node, 0)].contains(&(flight.from, flight.to)));
        match cut || faults.lost.contains(&number) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    });
}

/// The smallest set of up to `most` of the first messages whose loss makes a trial bad.
fn counterexample(
    (protocol, seed): (Protocol, u64),
    most: usize,
    bad: impl Fn(&Outcome) -> bool,
) -> Option<BTreeSet<usize>> {
    let mut sets: Vec<BTreeSet<usize>> = (0..1_u32 << FIRST)
        .map(|bits| (0..FIRST).filter(|bit| bits >> bit & 1 == 1).collect())
        .filter(|set: &BTreeSet<usize>| set.len() <= most)
        .collect();
    sets.sort_by_key(BTreeSet::len);
    sets.into_iter().find(|lost| {
        let faults = Faults { lost: lost.clone(), ..Faults::default() };
        bad(&trial(protocol, seed, &faults))
    })
}

/// One lost message is enough.
#[test]
fn direct_mail_finds_ce1() {
    for seed in 0..4 {
        let found = counterexample((Protocol::DirectMail, seed), 2, |end| !end.is_whole());
        assert_eq!(found.map(|lost| lost.len()), Some(1));
    }
}

/// No few lost messages are; a link that is never whole again is.
#[test]
fn acked_finds_ce2() {
    let acked = Protocol::AckedMail;
    for seed in 0..2 {
        assert_eq!(counterexample((acked, seed), 2, |end| !end.is_whole()), None);
        for node in 1..NODES {
            let end = trial(acked, seed, &Faults { cut: Some(node), ..Faults::default() });
            let others: BTreeSet<usize> = (0..NODES).filter(|other| *other != node).collect();
            assert_eq!(end.late, others, "the original's sender alone sends");
        }
    }
}

/// The sender dies while it holds a message that was lost: some have it, and others never will.
#[test]
fn acked_finds_ce3() {
    for seed in 0..4 {
        let faults = |lost: &[usize]| {
            let lost = lost.iter().copied().collect();
            Faults { lost, crash: true, ..Faults::default() }
        };
        let survivors: BTreeSet<usize> = (1..NODES).collect();
        assert_eq!(trial(Protocol::AckedMail, seed, &faults(&[])).late, survivors);
        let end = trial(Protocol::AckedMail, seed, &faults(&[1]));
        assert_eq!(end.late.len(), NODES - 2, "seed {seed}: {end:?}");
        let end = trial(Protocol::AntiEntropy, seed, &faults(&[]));
        assert!(end.late.is_empty(), "it told nobody in its second");
    }
}

/// Everybody has it in the end, whatever few messages are lost; but not always in time.
#[test]
fn anti_entropy_finds_latency() {
    let mut late = 0;
    for seed in 0..8 {
        let one = (Protocol::AntiEntropy, seed);
        if !trial(one.0, seed, &Faults::default()).is_timely() {
            continue;
        }
        let Some(found) = counterexample(one, 4, |end| !end.is_timely()) else {
            continue;
        };
        let end = trial(one.0, seed, &Faults { lost: found, ..Faults::default() });
        assert!(end.is_whole(), "seed {seed}: {end:?}");
        late += 1;
    }
    assert!(late > 0, "the loss of a few is enough");
}

/// It may die out without any fault, as often as chance says; with anti-entropy behind it never.
#[test]
fn rumor_dies_out_without_a_fault_as_often_as_chance_says() {
    const TRIALS: u64 = 200;
    let dead: Vec<u64> = (0..TRIALS)
        .filter(|seed| !trial(Protocol::RumorMongering, *seed, &Faults::default()).is_whole())
        .collect();
    let expected = chance_of_death();
    let deviation = (expected * (1.0 - expected) / TRIALS as f64).sqrt();
    let found = dead.len() as f64 / TRIALS as f64;
    assert!((found - expected).abs() < 3.0 * deviation, "{found} of {expected}");
    for seed in dead.into_iter().take(16) {
        let end = trial(Protocol::RumorWithAntiEntropy, seed, &Faults::default());
        assert!(end.is_whole(), "seed {seed}: {end:?}");
    }
}

/// How often somebody cannot be reached from node 0 when each node tells [`FANOUT`] of all nodes,
/// drawn: over all that may be drawn.
fn chance_of_death() -> f64 {
    let draws: Vec<u32> =
        (0..1_u32 << NODES).filter(|set| set.count_ones() as usize == FANOUT).collect();
    let ways = draws.len().pow(NODES as u32);
    let dead = (0..ways).filter(|way| {
        let drawn = |node: usize| draws[way / draws.len().pow(node as u32) % draws.len()];
        let mut reached = 1_u32;
        for _ in 0..NODES {
            let tellers = (0..NODES).filter(|node| reached >> node & 1 == 1);
            reached |= tellers.map(drawn).fold(0, |all, set| all | set);
        }
        reached.count_ones() as usize != NODES
    });
    dead.count() as f64 / ways as f64
}
