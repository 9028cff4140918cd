//! What holds for each node by itself.

use super::{Checker, Violation, ViolationKind};
use crate::node_host::NodeHost;
use crate::world::{Happened, Step, World};

/// A node is a member of its own cluster, and wants to be woken in the future.
///
/// That it sends on open connections only is checked by the world itself.
#[derive(Debug, Default)]
pub struct Local {}

impl Checker for Local {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        let mut report = |kind, text| {
            found.push(Violation::new(kind, step.now, Some(step.node), text));
        };
        let node = world.hosts().get(step.node).and_then(NodeHost::node);
        if let Some(node) = node
            && node.member(node.instance().node).is_none()
        {
            report(ViolationKind::NotSelf, "is not among its own members".into());
        }
        if step.happened == Happened::Wake
            && let Some((at, timer)) = step.wake_at
            && at <= step.now
        {
            let text = format!("wants to be woken at {at} for {timer:?}, just after a wake-up");
            report(ViolationKind::WakeInThePast, text);
        }
    }
}
