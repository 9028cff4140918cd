//! Processes of several nodes, on whole nodes with a trivial manager and network.

mod links;
mod monitors;
mod names;
mod nodes;
mod random;
mod timers;

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::command::Command;
use crate::config::Config;
use crate::connections::tests::net::{Net, channels};
use crate::event::Event;
use crate::id::ChannelId;
use crate::time::Duration;

/// The channel with two lanes.
pub(super) const WIDE: ChannelId = ChannelId(2);

/// Nodes that are all connected, each with the processes 1 and 2.
pub(super) fn cluster(count: usize) -> Net {
    let config = Config { channels: channels(&[("wide", 2)]), ..Config::default() };
    cluster_with(count, &config)
}

pub(super) fn cluster_with(count: usize, config: &Config) -> Net {
    let mut net = Net::with(count, config);
    for (one, other) in (0..count).flat_map(|one| (one + 1..count).map(move |other| (one, other))) {
        net.join(one, other);
    }
    net.run_for(Duration::from_secs(5));
    for (index, serial) in (0..count).flat_map(|index| [(index, 1), (index, 2)]) {
        spawn(&mut net, index, serial, SpawnOptions::default());
    }
    net.replies.clear();
    net
}

pub(super) fn spawn(net: &mut Net, index: usize, serial: u64, options: SpawnOptions) {
    net.command(index, Command::Spawn { process: Serial(serial), options });
}

pub(super) fn act(net: &mut Net, index: usize, serial: u64, act: ProcessAct) {
    net.handle(index, Event::Process { process: Serial(serial), act });
}

pub(super) fn pid(net: &Net, index: usize, serial: u64) -> ProcessId {
    let birth = Incarnation(1);
    ProcessId { node: net.id(index), birth, serial: Serial(serial) }
}

pub(super) fn name(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

pub(super) fn why(text: &str) -> ExitReason {
    ExitReason::other(text.as_bytes()).unwrap()
}

pub(super) fn end(net: &mut Net, index: usize, serial: u64, reason: ExitReason) {
    act(net, index, serial, ProcessAct::Ended(reason));
}

pub(super) fn monitor(net: &mut Net, index: usize, number: u64, target: impl Into<Target>) {
    let (target, lane) = (target.into(), Lane::default());
    act(net, index, 1, ProcessAct::Monitor { number, target, lane });
}

/// What process 1 of a node was told of monitors since the last call.
pub(super) fn downs(net: &mut Net, index: usize) -> Vec<(u64, ExitReason)> {
    let told = signals(net, index, 1).into_iter();
    let down = told.map(|signal| match signal {
        Signal::Down { number, reason, .. } => (number, reason),
        other => panic!("{other:?}"),
    });
    down.collect()
}

/// What a process was told since the last call.
pub(super) fn signals(net: &mut Net, index: usize, serial: u64) -> Vec<Signal> {
    let mine = |told: &(usize, Serial, Signal)| told.0 == index && told.1 == Serial(serial);
    let (told, others) = net.signals.drain(..).partition(mine);
    net.signals = others;
    let told: Vec<(usize, Serial, Signal)> = told;
    told.into_iter().map(|(.., signal)| signal).collect()
}

/// Nothing that hangs on processes of others is left anywhere.
pub(super) fn assert_clean(net: &Net) {
    for node in net.nodes.iter().flatten() {
        let counts = node.process_counts();
        let left = (counts.monitors, counts.watchers, counts.links, counts.subscriptions);
        assert_eq!(left, (0, 0, 0, 0), "{:?}", node.instance());
        assert_eq!(node.calls(), (0, 0), "{:?}", node.instance());
    }
}
