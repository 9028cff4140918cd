//! Processes of several nodes, on whole nodes with a trivial manager and network.

mod aliases;
mod links;
mod membership;
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
use crate::connections::tests::net::{Keeper, Net, channels, spec};
use crate::event::Event;
use crate::id::ChannelId;
use crate::time::Duration;

/// The channel with two lanes.
pub(crate) const WIDE: ChannelId = ChannelId(2);

/// Nodes that keep each other connected, each with the processes 1 and 2.
pub(crate) fn cluster(count: usize) -> Net {
    let config = Config { channels: channels(&[("wide", 2)]), ..Config::default() };
    cluster_with(count, &config)
}

pub(crate) fn cluster_with(count: usize, config: &Config) -> Net {
    let mut net = Net::new();
    for index in 0..count {
        let others = (0..count).filter(|other| *other != index);
        let keep = others.map(|other| spec(other, config).into()).collect();
        net.add(config, 1, Keeper { keep, ..Keeper::default() });
    }
    net.run_for(Duration::from_secs(5));
    for (index, serial) in (0..count).flat_map(|index| [(index, 1), (index, 2)]) {
        spawn(&mut net, index, serial, SpawnOptions::default());
    }
    net.replies.clear();
    net
}

pub(crate) fn spawn(net: &mut Net, index: usize, serial: u64, options: SpawnOptions) {
    net.command(index, Command::Spawn { process: Serial(serial), options });
}

pub(crate) fn act(net: &mut Net, index: usize, serial: u64, act: ProcessAct) {
    net.handle(index, Event::Process { process: Serial(serial), act: act.into() });
}

pub(crate) fn pid(net: &Net, index: usize, serial: u64) -> ProcessId {
    let birth = Incarnation(1);
    ProcessId { node: net.id(index), birth, serial: Serial(serial) }
}

pub(crate) fn name(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

pub(crate) fn why(text: &str) -> ExitReason {
    ExitReason::other(text.as_bytes()).unwrap()
}

pub(crate) fn end(net: &mut Net, index: usize, serial: u64, reason: ExitReason) {
    act(net, index, serial, ProcessAct::Ended(reason));
}

pub(crate) fn monitor(net: &mut Net, index: usize, number: u64, target: impl Into<Target>) {
    let (target, lane) = (target.into(), Lane::default());
    act(net, index, 1, ProcessAct::Monitor { number, target, lane, tag: 0, alias: None });
}

/// What process 1 of a node was told of monitors since the last call.
pub(crate) fn downs(net: &mut Net, index: usize) -> Vec<(u64, ExitReason)> {
    let told = signals(net, index, 1).into_iter();
    let down = told.map(|signal| match signal {
        Signal::Down { number, reason, .. } => (number, reason),
        other => panic!("{other:?}"),
    });
    down.collect()
}

/// What a process was told since the last call.
pub(crate) fn signals(net: &mut Net, index: usize, serial: u64) -> Vec<Signal> {
    let mine = |told: &(usize, Serial, Signal)| told.0 == index && told.1 == Serial(serial);
    let (told, others) = net.signals.drain(..).partition(mine);
    net.signals = others;
    let told: Vec<(usize, Serial, Signal)> = told;
    told.into_iter().map(|(.., signal)| signal).collect()
}

/// Nothing that hangs on processes of others is left anywhere.
pub(crate) fn assert_clean(net: &Net) {
    for node in net.nodes.iter().flatten() {
        let counts = node.process_counts();
        let left = (counts.monitors, counts.watchers, counts.links, counts.subscriptions);
        assert_eq!(left, (0, 0, 0, 0), "{:?}", node.instance());
        assert_eq!(node.calls(), (0, 0), "{:?}", node.instance());
    }
}
