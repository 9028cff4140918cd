//! Children that are started here for supervisors of other nodes.
//!
//! ```text
//! owner                                    host
//! | HostChild ---------------------------> |  ends what it hosts for that owner by that number
//! |                                        |  starts the child, and watches the owner
//! | <------------------------ the process  |
//! | watches the process                    |
//! ```
//!
//! Each side watches the other, so that a lost connection is noticed by both: the owner may start the
//! child elsewhere, and the host ends what it hosts for an owner that it does not see any more. Of the
//! children of one owner and number there is one at most, even if an answer was lost and the owner
//! asks again.

use alloc::vec::Vec;

use super::change::{Purpose, Step};
use super::children::{Key, Owner};
use super::engine::Waiting;
use super::{Answer, ChildError, ChildSpec, Restart, SupervisorEngine};
use crate::behaviour::Caller;
use crate::process::{ActorContext, ExitReason, ProcessId};

impl SupervisorEngine {
    /// Starts a child for an owner, in place of one that it has by this number.
    pub(super) fn host(
        &mut self,
        cx: &mut ActorContext<'_>,
        owner: Owner,
        (id, args): (&str, Vec<u8>),
        caller: Caller<Answer>,
    ) -> Result<(), ChildError> {
        // Whether it is started again is its owner's to say.
        let spec = ChildSpec { restart: Restart::Temporary, ..self.known_as(id)? };
        let before = self.children.hosted(owner).map(|key| Step::Stop([key].into()));
        let key = self.children.add(spec, args, Some(owner));
        self.owners.entry(owner.process).or_insert_with(|| cx.monitor(owner.process));
        let steps = before.into_iter().chain([Step::Start(key)]);
        self.begin_change(Purpose::Add(caller.reply_to()), steps);
        Ok(())
    }

    /// Ends what is hosted for an owner by a number.
    pub(super) fn release(
        &mut self,
        owner: Owner,
        caller: Caller<Answer>,
    ) -> Result<(), ChildError> {
        let key = self.children.hosted(owner).ok_or(ChildError::NotFound)?;
        let stop = Step::Stop([key].into());
        self.begin_change(Purpose::Terminate(caller.reply_to()), [stop]);
        Ok(())
    }

    /// An owner or a remote child ended, or cannot be seen any more.
    pub(super) fn watched_ended(
        &mut self,
        cx: &mut ActorContext<'_>,
        (process, monitor): (ProcessId, u64),
        reason: ExitReason,
    ) {
        if self.owners.get(&process) == Some(&monitor) {
            self.owners.remove(&process);
            self.waiting.push_back(Waiting::Orphaned(process));
        } else {
            self.exited(cx, process, reason);
        }
    }

    /// Ends all that is hosted for an owner.
    pub(super) fn orphaned(&mut self, owner: ProcessId) {
        let orphans: Vec<Key> = self.children.hosted_for(owner).collect();
        self.begin_change(Purpose::Orphans, [Step::Stop(orphans)]);
    }
}
