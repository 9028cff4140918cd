//! Sessions that begin and end, as processes are told of them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::subscriptions::is_about;
use super::{
    Action, Change, CloseReason, Context, ExitReason, Instance, MonitorId, NodeFilter, NodeId,
    NodeSpec, ProcessMessage, Processes, Serial, Signal, Signals, Watched, send,
};

impl Processes {
    pub(crate) fn change(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        change: &Change,
    ) {
        match change {
            Change::PeerUp { instance, spec, .. } => self.node_up(cx, *instance, spec),
            Change::PeerDown { instance, spec, reason, .. } => {
                self.node_down(cx, signals, *instance, spec, *reason);
            }
            Change::LaneClosed { node, connection } => {
                for (watcher, news) in self.watchers.take_sent(*node, *connection) {
                    // In its place no more; but the messages before it are lost with the lane.
                    let message = ProcessMessage::Down { monitor: watcher.1, reason: news.reason };
                    send(cx, *node, message);
                }
            }
            Change::MembersChanged => self.members_changed(cx, signals),
            _ => {}
        }
    }

    /// There is room again on some lane to a node.
    pub(crate) fn drained(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        node: NodeId,
    ) {
        for (watcher, news) in self.watchers.take_waiting(node) {
            self.tell_down(cx, signals, watcher, news.lane, news.reason);
        }
    }

    fn node_up(&mut self, cx: &mut Context<'_>, instance: Instance, spec: &Arc<NodeSpec>) {
        for process in self.subscriptions.up(instance, spec) {
            let signal = Signal::NodeUp { instance, spec: spec.clone() };
            cx.act(Action::Signal { process, signal });
        }
    }

    /// A session ended: all that hung on it ends, monitors of processes first, then those of the
    /// node, then subscriptions.
    fn node_down(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        instance: Instance,
        spec: &NodeSpec,
        reason: CloseReason,
    ) {
        let node = instance.node;
        self.watchers.forget(node);
        for (monitor, watched) in self.watches.take_node(node) {
            let MonitorId { owner: process, number } = monitor;
            let signal = match watched {
                Watched::Process(target, tag) => {
                    self.monitor_ended(cx, monitor);
                    Signal::Down { number, target, reason: ExitReason::NoConnection, tag }
                }
                Watched::Node(node) => Signal::NodeLost { number, node, reason: Some(reason) },
            };
            cx.act(Action::Signal { process, signal });
        }
        for (local, other) in self.links.take_node(node) {
            self.exit_signal(cx, signals, local, other, ExitReason::NoConnection, true);
        }
        for process in self.subscriptions.down(instance, spec) {
            cx.act(Action::Signal { process, signal: Signal::NodeDown { instance, reason } });
        }
    }

    pub(super) fn subscribe(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        serial: Serial,
        filter: &NodeFilter,
    ) {
        match self.subscriptions.add(serial, filter, cx.config.processes.max_monitors) {
            Some(true) => {}
            Some(false) => return,
            None => return self.kill(cx, signals, serial, ExitReason::SystemLimit),
        }
        let peers: Vec<Instance> = cx.routes.peers().map(|routes| routes.instance).collect();
        for instance in peers {
            let Some(spec) = signals.spec(instance.node) else { continue };
            let about = is_about(filter.tag.as_ref(), &spec);
            if about && self.subscriptions.know(serial, instance) && filter.present {
                let signal = Signal::NodeUp { instance, spec };
                cx.act(Action::Signal { process: serial, signal });
            }
        }
    }
}
