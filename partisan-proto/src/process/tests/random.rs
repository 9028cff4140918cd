//! Any acts in any order, with losses: every monitor ends once, links agree, nothing is left over.

use alloc::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Spawn(usize),
    End(usize, usize),
    Monitor(usize, usize, usize, usize),
    Demonitor(usize, usize),
    Link(usize, usize, usize, usize),
    Unlink(usize, usize, usize, usize),
    Exit(usize, usize, usize, usize, bool),
    Trap(usize, usize, bool),
    /// The lanes alone, or everything between two nodes.
    Cut(usize, usize, bool),
    Settle,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..3usize;
    let some = || 0..6usize;
    prop_oneof![
        2 => node().prop_map(Step::Spawn),
        3 => (node(), some()).prop_map(|(a, b)| Step::End(a, b)),
        6 => (node(), some(), node(), some()).prop_map(|(a, b, c, d)| Step::Monitor(a, b, c, d)),
        2 => (node(), some()).prop_map(|(a, b)| Step::Demonitor(a, b)),
        3 => (node(), some(), node(), some()).prop_map(|(a, b, c, d)| Step::Link(a, b, c, d)),
        3 => (node(), some(), node(), some()).prop_map(|(a, b, c, d)| Step::Unlink(a, b, c, d)),
        1 => (node(), some(), node(), some(), any::<bool>())
            .prop_map(|(a, b, c, d, e)| Step::Exit(a, b, c, d, e)),
        2 => (node(), some(), any::<bool>()).prop_map(|(a, b, c)| Step::Trap(a, b, c)),
        1 => (node(), node(), any::<bool>()).prop_map(|(a, b, c)| Step::Cut(a, b, c)),
        4 => Just(Step::Settle),
        1 => (1..20u64).prop_map(Step::Pass),
    ]
}

struct Play {
    net: Net,
    born: [u64; 3],
    /// By owner: the numbers of monitors that are to end.
    open: BTreeMap<(usize, u64), BTreeSet<u64>>,
    number: u64,
}

impl Play {
    fn new() -> Self {
        Self { net: cluster(3), born: [2; 3], open: BTreeMap::new(), number: 0 }
    }

    fn serial(&self, index: usize, choice: usize) -> u64 {
        1 + choice as u64 % self.born[index]
    }

    fn lives(&self, index: usize, serial: u64) -> bool {
        self.net.node(index).process(Serial(serial)).is_some()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Spawn(index) => {
                self.born[index] += 1;
                let options = SpawnOptions { trap_exit: true, ..SpawnOptions::default() };
                spawn(&mut self.net, index, self.born[index], options);
            }
            Step::End(index, choice) => {
                let serial = self.serial(index, choice);
                end(&mut self.net, index, serial, why("x"));
            }
            Step::Monitor(index, choice, other, target) => {
                let (serial, target) = (self.serial(index, choice), self.serial(other, target));
                if !self.lives(index, serial) {
                    return;
                }
                self.number += 1;
                self.open.entry((index, serial)).or_default().insert(self.number);
                let target = pid(&self.net, other, target).into();
                let channel = if self.number.is_multiple_of(2) { WIDE } else { ChannelId::DEFAULT };
                let lane = Lane { channel, key: Some(self.number) };
                let number = self.number;
                act(
                    &mut self.net,
                    index,
                    serial,
                    ProcessAct::Monitor { number, target, lane, tag: 0, alias: None },
                );
            }
            Step::Demonitor(index, choice) => {
                let serial = self.serial(index, choice);
                self.check();
                let open = self.open.get_mut(&(index, serial));
                if let Some(number) = open.and_then(|open| open.pop_first()) {
                    act(&mut self.net, index, serial, ProcessAct::Demonitor { number });
                }
            }
            Step::Link(index, choice, other, target) => {
                let (serial, target) = (self.serial(index, choice), self.serial(other, target));
                let target = pid(&self.net, other, target);
                act(&mut self.net, index, serial, ProcessAct::Link(target));
            }
            Step::Unlink(index, choice, other, target) => {
                let (serial, target) = (self.serial(index, choice), self.serial(other, target));
                let target = pid(&self.net, other, target);
                act(&mut self.net, index, serial, ProcessAct::Unlink(target));
            }
            Step::Exit(index, choice, other, target, kill) => {
                let (serial, target) = (self.serial(index, choice), self.serial(other, target));
                let target = pid(&self.net, other, target).into();
                let reason = if kill { ExitReason::Kill } else { why("exit") };
                act(&mut self.net, index, serial, ProcessAct::Exit { target, reason });
            }
            Step::Trap(index, choice, on) => {
                let serial = self.serial(index, choice);
                act(&mut self.net, index, serial, ProcessAct::TrapExit(on));
            }
            Step::Cut(one, other, lanes) => self.cut(one, other, lanes),
            Step::Settle => self.net.settle(),
            Step::Pass(seconds) => self.net.run_for(Duration::from_secs(seconds)),
        }
        self.check();
    }

    /// What is on its way is lost, too.
    fn cut(&mut self, one: usize, other: usize, lanes: bool) {
        let between = |a: usize, b: usize| [(a, b), (b, a)].contains(&(one, other));
        let anchor = |index: usize, peer: usize| {
            self.net.node(index).routes().anchor(self.net.id(peer)).map(|id| (index, id))
        };
        let anchors = [anchor(one, other), anchor(other, one)];
        let spared = |end| lanes && anchors.contains(&Some(end));
        self.net.lose(|a, b| between(a.0, b.0) && !spared(a) && !spared(b));
    }

    /// Every news is about an open monitor, which it closes.
    fn check(&mut self) {
        for (index, Serial(serial), signal) in self.net.signals.drain(..) {
            if let Signal::Down { number, .. } = signal {
                let open = self.open.get_mut(&(index, serial));
                assert!(open.is_some_and(|open| open.remove(&number)), "told twice: {number}");
            }
        }
    }

    /// All is quiet and connected: links agree, and the end of everybody ends every monitor.
    fn finish(mut self) {
        self.net.run_for(Duration::from_secs(300));
        self.check();
        let all = |play: &Self| -> Vec<(usize, u64)> {
            let of = |index: usize| {
                let processes = play.net.node(index).processes();
                let serials: Vec<u64> = processes.map(|process| process.serial.0).collect();
                serials.into_iter().map(move |serial| (index, serial))
            };
            (0..3).flat_map(of).collect()
        };
        let links = |play: &Self, (index, serial): (usize, u64)| {
            play.net.node(index).process(Serial(serial)).map(|info| info.links)
        };
        for one in all(&self) {
            let own = pid(&self.net, one.0, one.1);
            for other in links(&self, one).unwrap() {
                let there = (0..3).find(|index| self.net.id(*index) == other.node).unwrap();
                let back = links(&self, (there, other.serial.0));
                assert!(back.is_some_and(|back| back.contains(&own)), "{own:?} alone is linked");
            }
        }
        // Owners are asked last whether everything was told.
        for (index, serial) in all(&self) {
            let watched = self.open.get(&(index, serial)).is_some_and(|open| !open.is_empty());
            if !watched {
                end(&mut self.net, index, serial, ExitReason::Normal);
            }
        }
        self.net.run_for(Duration::from_secs(10));
        self.check();
        for (index, serial) in all(&self) {
            end(&mut self.net, index, serial, ExitReason::Normal);
            self.net.settle();
            self.check();
        }
        assert_clean(&self.net);
    }
}

proptest! {
    #[test]
    fn every_monitor_ends_at_most_once_and_nothing_is_left(steps in prop::collection::vec(step(), 0..80)) {
        let mut play = Play::new();
        for step in steps {
            play.take(step);
        }
        play.finish();
    }

    #[test]
    fn every_monitor_ends(steps in prop::collection::vec(step(), 0..60)) {
        let mut play = Play::new();
        // Watchers that outlive all.
        let watchers: Vec<u64> = (0..3).map(|index| {
            play.born[index] += 1;
            spawn(&mut play.net, index, play.born[index], SpawnOptions { trap_exit: true, ..SpawnOptions::default() });
            play.born[index]
        }).collect();
        let mut expected = 0;
        for step in steps {
            if let Step::Monitor(index, _, other, target) = step {
                let target = pid(&play.net, other, 1 + target as u64 % 2).into();
                expected += 1;
                let lane = Lane { channel: WIDE, key: Some(expected) };
                let number = 1_000 + expected;
                act(&mut play.net, index, watchers[index], ProcessAct::Monitor { number, target, lane, tag: 0, alias: None });
                play.open.entry((index, watchers[index])).or_default().insert(number);
            } else if let Step::Cut(..) | Step::Settle | Step::Pass(_) = step {
                play.take(step);
            } else if let Step::End(index, choice) = step {
                let serial = 1 + choice as u64 % 2;
                end(&mut play.net, index, serial, why("x"));
            }
        }
        for (index, serial) in [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)] {
            end(&mut play.net, index, serial, why("x"));
        }
        play.net.run_for(Duration::from_secs(10));
        play.check();
        let left: usize = play.open.values().map(BTreeSet::len).sum();
        prop_assert_eq!(left, 0, "monitors that never ended");
    }
}
