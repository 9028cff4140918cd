//! Linking and unlinking, from both sides.

use super::{
    Context, ExitReason, ProcessAt, ProcessId, ProcessMessage, Processes, Serial, TargetAt, send,
};

impl Processes {
    /// A process of this node links itself to another. Says whose exit signal answers at once, if
    /// one does.
    pub(super) fn link(
        &mut self,
        cx: &mut Context<'_>,
        serial: Serial,
        other: ProcessId,
    ) -> Option<(ProcessId, ExitReason)> {
        let me = self.id(cx, serial);
        if other == me || !self.table.contains_key(&serial) {
            return None;
        }
        let limit = cx.config.processes.max_links;
        let to = ProcessAt { birth: other.birth, serial: other.serial };
        if other.node == me.node {
            if self.resolve(&TargetAt::Process(to)).is_none() {
                return Some((other, ExitReason::NoProcess));
            }
            let both = self.links.add(serial, other, limit)
                && (self.links.add(other.serial, me, limit) || !self.links.remove(serial, other));
            return (!both).then_some((other, ExitReason::SystemLimit));
        }
        if !self.links.add(serial, other, limit) {
            return Some((other, ExitReason::SystemLimit));
        }
        let from = self.at(serial);
        if !send(cx, other.node, ProcessMessage::Link { from, to }) {
            self.links.remove(serial, other);
            return Some((other, ExitReason::NoConnection));
        }
        None
    }

    /// A peer's process links itself to one of ours.
    pub(super) fn linked(&mut self, cx: &mut Context<'_>, other: ProcessId, to: ProcessAt) {
        let at = TargetAt::Process(to);
        let refused = match self.resolve(&at) {
            None => ExitReason::NoProcess,
            // It was unlinked here after that: so it is to be.
            Some(serial) if self.links.is_unlinking(serial, other) => return,
            Some(serial) if self.links.add(serial, other, cx.config.processes.max_links) => return,
            Some(_) => ExitReason::SystemLimit,
        };
        let target = TargetAt::Process(ProcessAt { birth: other.birth, serial: other.serial });
        let (from, to, reason, linked) = (to, target, refused, true);
        send(cx, other.node, ProcessMessage::Exit { from, to, reason, linked });
    }

    /// A process of this node ends a link. After this it gets no exit signal of that link.
    pub(super) fn unlink(&mut self, cx: &mut Context<'_>, serial: Serial, other: ProcessId) {
        let me = self.id(cx, serial);
        if !self.links.remove(serial, other) {
            return;
        }
        if other.node == me.node {
            self.links.remove(other.serial, me);
            return;
        }
        let to = ProcessAt { birth: other.birth, serial: other.serial };
        if send(cx, other.node, ProcessMessage::Unlink { from: self.at(serial), to }) {
            self.links.unlink_sent(serial, other);
        }
    }
}
