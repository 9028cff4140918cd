//! Monitors, from both sides.

use super::{
    Action, Context, ExitReason, Lane, MonitorId, News, NodeId, ProcessMessage, Processes, Serial,
    Signal, Signals, Target, TargetAt, Watched, Watcher, send, split,
};
use crate::error::CommandError;

impl Processes {
    /// A process of this node watches another.
    pub(super) fn monitor(
        &mut self,
        cx: &mut Context<'_>,
        monitor: MonitorId,
        target: Target,
        lane: Lane,
        tag: u64,
    ) {
        let (node, at) = split(&target);
        if !self.table.contains_key(&monitor.owner)
            || !self.watches.add(monitor, Watched::Process(target, tag))
        {
            return;
        }
        let refused = if node == cx.me.instance.node {
            self.watch(cx, (node, monitor), &at, lane)
        } else {
            let name = cx.config.channels.name(lane.channel).cloned();
            let (target, channel, key) = (at, name, lane.key);
            let message = ProcessMessage::Monitor { monitor, target, channel, key };
            (!send(cx, node, message)).then_some(ExitReason::NoConnection)
        };
        if let Some(reason) = refused {
            self.down(cx, node, monitor, reason);
        }
    }

    /// Somebody watches a process of this node; says why that ends at once, if it does.
    pub(super) fn watch(
        &mut self,
        cx: &Context<'_>,
        watcher: Watcher,
        target: &TargetAt,
        lane: Lane,
    ) -> Option<ExitReason> {
        let Some(target) = self.resolve(target) else {
            return Some(ExitReason::NoProcess);
        };
        let limit = cx.config.processes.max_monitors;
        let added = self.watchers.add(watcher, target, lane, limit);
        (!added).then_some(ExitReason::SystemLimit)
    }

    /// A process of this node watches a node.
    pub(super) fn monitor_node(
        &mut self,
        cx: &mut Context<'_>,
        owner: Serial,
        number: u64,
        node: NodeId,
    ) {
        let monitor = MonitorId { owner, number };
        if !self.watches.add(monitor, Watched::Node(node)) {
            return;
        }
        // A node is always connected with itself, and nobody is left to be told when it ends.
        if !cx.is_connected(node) {
            self.watches.take(monitor);
            let signal = Signal::NodeLost { number, node, reason: None };
            cx.act(Action::Signal { process: owner, signal });
        }
    }

    /// A process stops watching.
    pub(super) fn demonitor(&mut self, cx: &mut Context<'_>, monitor: MonitorId) {
        if let Some(watched) = self.watches.take(monitor) {
            self.stop_watching(cx, monitor, &watched);
        }
        self.monitor_ended(cx, monitor);
    }

    /// The other side need not keep a monitor any more.
    pub(super) fn stop_watching(
        &mut self,
        cx: &mut Context<'_>,
        monitor: MonitorId,
        watched: &Watched,
    ) {
        let Watched::Process(target, _) = watched else { return };
        let node = target.node();
        if node == cx.me.instance.node {
            self.watchers.remove((node, monitor));
        } else {
            send(cx, node, ProcessMessage::Demonitor { monitor });
        }
    }

    /// A process that is watched ended: tells its watcher.
    pub(super) fn tell_down(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        (node, monitor): Watcher,
        lane: Lane,
        reason: ExitReason,
    ) {
        if node == cx.me.instance.node {
            return self.down(cx, node, monitor, reason);
        }
        let message = ProcessMessage::Down { monitor, reason };
        match signals.signal(cx, node, lane, message.clone()) {
            Ok(connection) => {
                let ProcessMessage::Down { reason, .. } = message else { return };
                self.watchers.keep((node, monitor), News { reason, lane, sent: Some(connection) });
            }
            Err(CommandError::QueueFull(_)) => {
                let ProcessMessage::Down { reason, .. } = message else { return };
                self.watchers.keep((node, monitor), News { reason, lane, sent: None });
            }
            // No such lane, or it is down: then nothing is before it there.
            Err(_) => _ = send(cx, node, message),
        }
    }

    /// What a process of this node watches has ended, as far as `node` knows.
    pub(super) fn down(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        monitor: MonitorId,
        reason: ExitReason,
    ) {
        if let Some((target, tag)) = self.watches.take_at(monitor, node) {
            self.monitor_ended(cx, monitor);
            let signal = Signal::Down { number: monitor.number, target, reason, tag };
            cx.act(Action::Signal { process: monitor.owner, signal });
        }
    }
}
