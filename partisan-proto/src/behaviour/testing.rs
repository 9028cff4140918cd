//! What tests of behaviours have in common.

use alloc::vec::Vec;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Report, SystemRequest, Term, envelope};
use crate::process::{Actor, Effect, Solo};

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

/// What it reported since the last time.
pub(super) fn reports(solo: &mut Solo<impl Actor>) -> Vec<Report> {
    let effects = solo.take_effects().into_iter();
    let reports = effects.filter_map(|effect| match effect {
        Effect::Report(report) => Some(*report),
        _ => None,
    });
    reports.collect()
}

/// Asks what every behaviour answers.
pub(super) fn ask_system<R: Term>(solo: &mut Solo<impl Actor>, request: &SystemRequest) -> R {
    let request = solo.request(request.write().unwrap());
    solo.run();
    envelope::read(&solo.take_reply(request).unwrap().unwrap()).unwrap()
}
