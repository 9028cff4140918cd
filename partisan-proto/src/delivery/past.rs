//! The causal past of what an application knows, for it to keep with what it knows.
//!
//! ```text
//! past = version:u8 (1)  postcard(list of Elsewhere)
//! ```

use alloc::vec;

use bytes::Bytes;

use super::Deliveries;
use crate::action::Answer;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::LabelId;
use crate::wire::{Bounded, Elsewhere, MAX_DEPENDENCIES, read_whole};

const VERSION: u8 = 1;

type Past = Bounded<Elsewhere, MAX_DEPENDENCIES>;

impl Deliveries {
    /// What comes before whatever this node sends with a label from now on.
    pub(crate) fn causal_past(
        &mut self,
        cx: &Context<'_>,
        label: LabelId,
    ) -> Result<Answer, CommandError> {
        let causal = self.labels.get_mut(&label).ok_or(CommandError::UnknownLabel(label))?;
        let past = causal.past(cx.now, cx.config.delivery.causal_patience)?;
        // Writing into memory that grows cannot fail.
        let past = postcard::to_extend(&past, vec![VERSION]).unwrap_or_default();
        Ok(Answer::CausalPast(past.into()))
    }

    /// What an earlier life of this node knew comes before whatever it sends from now on, too.
    pub(crate) fn recall_causal_past(
        &mut self,
        cx: &mut Context<'_>,
        label: LabelId,
        past: &Bytes,
    ) -> Result<Answer, CommandError> {
        let causal = self.labels.get_mut(&label).ok_or(CommandError::UnknownLabel(label))?;
        let content = past.strip_prefix(&[VERSION]).ok_or(CommandError::BadCausalPast)?;
        let past: Past = read_whole(content).map_err(|_| CommandError::BadCausalPast)?;
        causal.recall(cx.now, cx.me.instance, &past);
        self.set_causal_timer(cx);
        Ok(Answer::Done)
    }
}
