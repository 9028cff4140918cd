//! The calls of a server that wait for their answers, each with what is to be done then.

use partisan_proto::Signal;
use partisan_proto::behaviour::{AnswerError, Pending, Term};
use partisan_proto::process::ActorContext;

/// Calls that wait for an `R`, each with a `T`.
#[derive(Debug)]
pub(super) struct Asked<R, T>(Vec<(Pending<R>, T)>);

impl<R, T> Default for Asked<R, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R: Term, T> Asked<R, T> {
    /// One more.
    pub(super) fn push(&mut self, pending: Pending<R>, with: T) {
        self.0.push((pending, with));
    }

    /// What waited for this signal, and the answer that it brings.
    pub(super) fn take(&mut self, signal: &Signal) -> Option<(T, Result<R, AnswerError>)> {
        let answers = self.0.iter().map(|(pending, _)| pending.answer(signal)).enumerate();
        let (place, answer) = { answers }.find_map(|(place, answer)| Some((place, answer?)))?;
        Some((self.0.swap_remove(place).1, answer))
    }

    /// Gives up what does not stay.
    pub(super) fn retain(&mut self, cx: &mut ActorContext<'_>, stays: impl Fn(&T) -> bool) {
        self.0.retain(|(pending, with)| {
            let stays = stays(with);
            if !stays {
                cx.abandon(pending.number());
            }
            stays
        });
    }
}
