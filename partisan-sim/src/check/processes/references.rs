//! What is for a process reaches that process alone.

use partisan_proto::process::Input;
use partisan_proto::{ProcessId, Reference};

use crate::check::{Checker, Violation, ViolationKind};
use crate::workload::deed::{Note, Said};
use crate::world::{Step, World};

/// A message or a request for a process reaches no other, not even one with the same number in a
/// newer run of the node.
#[derive(Debug, Default)]
pub struct References(());

impl Checker for References {
    fn on_step(&mut self, _: &Step<'_>, _: &World, _: &mut Vec<Violation>) {}

    fn on_input(
        &mut self,
        world: &World,
        node: usize,
        (process, input): (ProcessId, &Input),
        found: &mut Vec<Violation>,
    ) {
        let (Input::Message { payload, .. } | Input::Request { payload, .. }) = input else {
            return;
        };
        let (Some(Said::Note(Note { to: whom, .. })) | Some(Said::Question { whom, .. })) =
            Said::read(payload)
        else {
            return;
        };
        let mine = match &whom {
            Reference::Process(other) => *other == process,
            Reference::Name { node, .. } => *node == process.node,
            Reference::Request(_) => false,
        };
        if !mine {
            let text = format!("{process:?} is handed what is for {whom:?}");
            let kind = ViolationKind::Misdelivered;
            found.push(Violation::new(kind, world.now(), Some(node), text));
        }
    }
}
