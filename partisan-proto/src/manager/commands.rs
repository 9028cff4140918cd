//! What the application asks of membership, as the managers of this crate take it.

use alloc::vec::Vec;

use crate::action::Answer;
use crate::command::{Command, Contact};
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{NodeId, Ticket};
use crate::spec::NodeSpec;
use crate::time::Duration;

/// A manager that does what the commands of membership say.
pub(super) trait Obey {
    /// [`Command::Join`].
    ///
    /// # Errors
    /// As [`Joining::join`](super::joining::Joining::join).
    fn join(&mut self, cx: &mut Context<'_>, contact: Contact) -> Result<(), CommandError>;

    /// [`Command::SyncJoin`]: answers the ticket, now or later.
    fn sync_join(&mut self, cx: &mut Context<'_>, ticket: Ticket, contact: (Contact, Duration));

    /// [`Command::Leave`].
    fn leave(&mut self, cx: &mut Context<'_>);

    /// [`Command::Remove`].
    fn remove(&mut self, cx: &mut Context<'_>, node: NodeId);

    /// [`Command::UpdateMembers`].
    ///
    /// # Errors
    /// The first of those of the joins that follow from it.
    fn update_members(
        &mut self,
        cx: &mut Context<'_>,
        specs: Vec<NodeSpec>,
    ) -> Result<(), CommandError>;

    /// Does what a command says, and answers its ticket once.
    fn obey(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        let result = match command {
            Command::Join(contact) => self.join(cx, contact),
            Command::SyncJoin { contact, deadline } => {
                return self.sync_join(cx, ticket, (contact, deadline));
            }
            Command::Leave => {
                self.leave(cx);
                Ok(())
            }
            Command::Remove(node) => {
                self.remove(cx, node);
                Ok(())
            }
            Command::UpdateMembers(specs) => self.update_members(cx, specs),
            // Not given to managers.
            _ => Err(CommandError::NotSupported("this manager does not know this command")),
        };
        cx.reply(ticket, result.map(|()| Answer::Done));
    }
}
