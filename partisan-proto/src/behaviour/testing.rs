//! What tests of behaviours have in common.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{SystemRequest, Term, envelope};
use crate::process::{Actor, Solo};

/// Lets it take one input, and tells it of its panics, as drivers do.
pub(super) fn step_caught(solo: &mut Solo<impl Actor>) -> bool {
    let mut took = false;
    let mut outcome = catch_unwind(AssertUnwindSafe(|| took = solo.step()));
    while let Err(panic) = outcome {
        took = true;
        let text = panic.downcast_ref::<&str>().copied().unwrap_or_default();
        outcome = catch_unwind(AssertUnwindSafe(|| solo.panicked(text)));
    }
    took
}

/// Asks what every behaviour answers.
pub(super) fn ask_system<R: Term>(solo: &mut Solo<impl Actor>, request: &SystemRequest) -> R {
    let request = solo.request(request.write().unwrap());
    solo.run();
    envelope::read(&solo.take_reply(request).unwrap().unwrap()).unwrap()
}
